"""What the probes make of recorded machines, and of this one."""

import pytest
from described import described

from llmc.machine import Host, probe, servers
from llmc.machine.found import Closed, Listed, OpenClDevice, VulkanDevice
from llmc.machine.host import Ran
from llmc.machine.programs import llama_server_version, ollama_version


@pytest.fixture
def host(tmp_path):
    """``host("mi50")``"""
    return lambda name, **environ: described(name, tmp_path, **environ)


def test_an_mi50_is_known_from_the_kernels_files_alone(host):
    (gpu,) = probe(host("mi50"), tools=False).gpus
    assert (gpu.gfx, gpu.memory_bytes, gpu.free_bytes) == ("gfx906", 34342961152, 34342961152 - 10993664)
    assert (gpu.pci_id, gpu.render_node, gpu.integrated) == ("1002:66a1", "/dev/dri/renderD128", False)


def test_tools_add_names_and_what_vulkan_sees(host):
    found = probe(host("mi50"))
    assert found.gpus[0].label == "AMD Instinct MI50/MI60 (gfx906)"
    assert found.vulkan == (
        VulkanDevice(
            "AMD Radeon Graphics (RADV VEGA20)",
            "discrete",
            17163091968,
            17100000000 - 10993664,
            "1002:66a1",
            "radv Mesa 25.0.7",
        ),
    )
    assert (found.rocm.version, found.rocm.driver, found.rocm.loaded) == ("7.1.0", "6.14.14", True)
    assert found.rocm.kernels == ("gfx1100", "gfx908", "gfx90a", "gfx942")
    server = found.programs["llama_server"]
    assert server.version == "b9592"
    assert server.devices == (Listed("Vulkan0", "AMD Radeon Graphics (RADV VEGA20)", 16368 << 20, 16300 << 20),)
    assert found.programs["ollama"].version == "0.33.0"


def test_devices_are_checked_for_the_user_and_for_the_account_that_ollama_really_runs_under(host):
    assert probe(host("mi50"), tools=False).closed == (
        Closed("/dev/kfd", "ollama", "render", service=True),
        Closed("/dev/dri/renderD128", "ollama", "render", service=True),
    )


def test_a_software_vulkan_device_is_named_as_software(host):
    found = probe(host("software"))
    assert found.vulkan == (
        VulkanDevice(
            "llvmpipe (LLVM 15.0.6, 256 bits)",
            "software",
            2147483648,
            None,
            "10005:0000",
            "llvmpipe Mesa 22.3.6 (LLVM 15.0.6)",
        ),
    )
    assert found.gpus == ()


def test_a_processor_offered_as_an_opencl_device_is_no_gpu(host):
    assert probe(host("software")).opencl == (
        OpenClDevice("pthread-skylake-avx512-AMD EPYC", "AuthenticAMD", "cpu", 5204769792),
    )


def test_both_ways_in_which_llama_server_says_its_version_are_read():
    assert llama_server_version(Ran(0, "", "version: 9592 (ac4cddeb0)\nbuilt with cc\n")) == "b9592"
    assert llama_server_version(Ran(0, "version: 0.1.0-dev (build 1, commit 7e4c0a9)\n", "")) == "0.1.0-dev b1 7e4c0a9"
    assert llama_server_version(Ran(None, "", "")) == ""


@pytest.mark.parametrize(
    "text",
    [
        "ollama version is 0.33.0\n",
        "Warning: could not connect to a running Ollama instance\nWarning: client version is 0.33.0\n",
    ],
)
def test_both_ways_in_which_ollama_says_its_version_are_read(text):
    assert ollama_version(Ran(0, text, "")) == "0.33.0"


def test_a_program_that_hangs_is_stopped_and_named(host):
    found = probe(host("hanging"))
    assert found.silent == ("rocminfo",)
    assert found.gpus[0].gfx == "gfx1100"


def test_this_machine_is_probed_without_changing_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = probe(Host(ports={}))
    assert found.cores >= 1
    assert 0 < found.available_bytes <= found.memory_bytes
    assert found.processor
    assert list(tmp_path.iterdir()) == []


def test_an_ollama_without_further_groups_is_read_all_the_same(tmp_path):
    process = tmp_path / "proc/7"
    process.mkdir(parents=True)
    (process / "comm").write_text("ollama\n")
    (process / "cmdline").write_text("ollama\0serve\0")
    (process / "status").write_text("Uid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\nGroups:\t \nNStgid:\t7\n")
    found = servers.ollama_process(Host(tmp_path))
    assert found is not None
    assert (found[0].uid, found[0].groups, found[1]) == (7, frozenset({8}), False)
