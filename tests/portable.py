"""The notebooks with the kernels of older processors; `make test-portable` runs this.

On another processor OpenBLAS, NumPy, PyTorch, MKL and oneDNN take other kernels, which add in another order.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SWITCHES = {
    "2015": {
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OMP_NUM_THREADS": "2",
    },
    "oldest": {
        "OPENBLAS_CORETYPE": "Prescott",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OMP_NUM_THREADS": "1",
    },
}
# What each library says it uses. The two differ in every place, so a switch without effect shows in one.
EXPECTED = {
    "2015": {
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": ["X86_V2", "X86_V3"],
        "ATEN_CPU_CAPABILITY": "AVX2",
        "MKL_CBWR": "OFF",
        "ONEDNN_MAX_CPU_ISA": "Intel AVX2",
        "OMP_NUM_THREADS": 2,
    },
    "oldest": {
        "OPENBLAS_CORETYPE": "Katmai",  # the first of the names under which OpenBLAS has Prescott's kernels
        "NPY_DISABLE_CPU_FEATURES": ["X86_V2"],
        "ATEN_CPU_CAPABILITY": "DEFAULT",
        "MKL_CBWR": "COMPATIBLE",
        "ONEDNN_MAX_CPU_ISA": "Intel SSE4.1",
        "OMP_NUM_THREADS": 1,
    },
}
# MKL and oneDNN tell what they use only in their logs; a product and a convolution make them write.
PROBE = """
import ctypes, json
from pathlib import Path
import numpy as np
from numpy._core import _multiarray_umath as umath
import torch

(library,) = Path(np.__file__).parents[1].glob("numpy.libs/*openblas*")
corename = ctypes.CDLL(str(library)).scipy_openblas_get_corename64_
corename.restype = ctypes.c_char_p
known = [*umath.__cpu_baseline__, *umath.__cpu_dispatch__]
torch.ones(64, 64) @ torch.ones(64, 64)
torch.nn.functional.conv2d(torch.ones(2, 8, 16, 16), torch.ones(8, 8, 3, 3))
print(json.dumps({
    "OPENBLAS_CORETYPE": corename().decode(),
    "NPY_DISABLE_CPU_FEATURES": [name for name in known if umath.__cpu_features__[name]],
    "ATEN_CPU_CAPABILITY": torch.backends.cpu.get_cpu_capability(),
    "OMP_NUM_THREADS": torch.get_num_threads(),
}))
"""


def python(switches, *arguments):
    """Run Python with these switches and no others."""
    kept = {k: v for k, v in os.environ.items() if k not in SWITCHES["oldest"]}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env={**kept, **switches}, capture_output=True, text=True)


@pytest.fixture(scope="module", params=SWITCHES)
def machine(request):
    """The name of one set of switches, on a processor that can take them."""
    from numpy._core._multiarray_umath import __cpu_features__

    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"the switches are for x86-64 processors, this is {platform.machine()}")
    if request.param == "2015" and not __cpu_features__["X86_V3"]:
        pytest.skip("this processor is older than 2015: it has no AVX2")
    return request.param


@pytest.fixture(scope="module")
def used(machine):
    """What the libraries say they use, by switch."""
    # NumPy only warns of a feature that it does not know.
    ran = python(
        SWITCHES[machine] | {"MKL_VERBOSE": "1", "ONEDNN_VERBOSE": "1"},
        "-W",
        "error::ImportWarning",
        "-c",
        PROBE,
    )
    assert ran.returncode == 0, ran.stderr
    *log, last = ran.stdout.splitlines()
    isa = [
        line.partition(",isa:")[2] for line in log if line.startswith("onednn_verbose") and ",isa:" in line
    ]
    cnr = [line.partition(" CNR:")[2].split()[0] for line in log if " CNR:" in line]
    return json.loads(last) | {"ONEDNN_MAX_CPU_ISA": isa[0], "MKL_CBWR": cnr[0]}


@pytest.mark.parametrize("switch", SWITCHES["oldest"])
def test_a_switch_takes_effect(machine, used, switch):
    assert used[switch] == EXPECTED[machine][switch]


@pytest.mark.slow
def test_the_notebooks_pass(machine):
    nbval = ["-m", "pytest", "--nbval", "-p", "no:cacheprovider", "--color=no", "book", "solutions"]
    ran = python(SWITCHES[machine], *nbval)
    assert ran.returncode == 0, ran.stdout[-10_000:] + ran.stderr[-2_000:]
