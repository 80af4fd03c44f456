"""What the engines of this machine share: a model behind a server, asked over HTTP for as long as its process lives."""

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

from llmc.engine import Generation, Health, Message
from llmc.engine._http import ModelServer
from llmc.errors import EngineUnavailable

DYING_SECONDS = 0.1  # a killed process takes a moment to be seen as dead


class LocalEngine:
    """An engine that passes everything on to its server, and says how the server ended when it did."""

    name: ClassVar[str]
    local = True
    model: str
    _server: ModelServer | None = None

    def _ended(self) -> tuple[str, str]:
        """How the server's process ended, and where its words are; empty while it runs."""
        raise NotImplementedError

    def _is_ours(self, listed: str) -> bool:
        """Whether a name that the server lists is our model's."""
        return listed == self.model

    @property
    def server(self) -> ModelServer:
        """EngineUnavailable when it does not run, or not any more."""
        if self._server is None:
            raise EngineUnavailable(f"{self.model} on {self.name} is not running")
        how, hint = self._ended()
        if how:
            raise EngineUnavailable(how, hint=hint)
        return self._server

    async def aclose(self) -> None:
        if self._server is not None:
            await self._server.aclose()

    async def health(self) -> Health:
        try:
            return await self.server.health()
        except EngineUnavailable as error:
            return Health(False, 0.0, error.message)

    async def models(self) -> list[str]:
        return [self.model if self._is_ours(each) else each for each in await self.server.models()]

    async def count_tokens(self, text: str) -> int:
        return await self.server.count_tokens(text)

    async def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return await self.server.count_prompt_tokens(messages)

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: dict[str, Any] | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Generation:
        server = self.server
        try:
            return await server.generate(messages, max_tokens=max_tokens, schema=schema, temperature=temperature, seed=seed)
        except EngineUnavailable:
            await asyncio.sleep(DYING_SECONDS)
            _ = self.server  # if it is dead, say so: it explains more than a refused connection
            raise
