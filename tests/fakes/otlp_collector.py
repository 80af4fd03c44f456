"""An OpenTelemetry collector that only writes down what it is sent (OTLP over HTTP, protobuf); its faults are flags.

    python tests/fakes/otlp_collector.py --log FILE --status 503

Prints ``{"url": "http://127.0.0.1:PORT"}`` and serves until its standard input ends. Each span and each metric is one JSON line
in the log: ``{"span": NAME, "attributes": {...}, ...}`` or ``{"metric": NAME, "points": [...]}``.
"""

import argparse
import gzip
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

parser = argparse.ArgumentParser()
parser.add_argument("--log", type=Path, required=True)
parser.add_argument("--status", type=int, default=200, help="answer everything with this status")
FLAGS = parser.parse_args()
LOCK = threading.Lock()


def plain(attributes) -> dict:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}


def spans(body: bytes):
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "span": span.name,
                    "kind": span.kind,
                    "seconds": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                    "error": span.status.code == 2,
                    "attributes": plain(span.attributes),
                    "resource": plain(resource.resource.attributes),
                }


def metrics(body: bytes):
    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                points = []
                for point in getattr(metric, kind).data_points:
                    value = point.sum if kind == "histogram" else getattr(point, point.WhichOneof("value"))
                    points.append({"value": value, "attributes": plain(point.attributes)})
                yield {"metric": metric.name, "kind": kind, "unit": metric.unit, "points": points}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        with LOCK, FLAGS.log.open("a") as log:
            for line in (spans if self.path == "/v1/traces" else metrics)(body):
                log.write(json.dumps(line) + "\n")
        self.send_response(FLAGS.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}) + "\n")
sys.stdout.flush()
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
