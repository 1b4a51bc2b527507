"""The C++ compiler, without which torch.compile can do nothing on a CPU."""

import os
import shutil
import subprocess
import sys

from fastsr.errors import UserError

REMEDY = (
    "install one (on Debian and Ubuntu: apt install g++), set CXX to it, or leave out --compile"
)
PROGRAM = "#include <cmath>\n#include <vector>\nint main() { return std::vector<int>().size(); }\n"


def cpp_compiler() -> str | None:
    """The program that torch.compile calls on this system; None where there is none of that name."""
    usual = {"win32": "cl", "darwin": "clang++"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX") or usual)


def check_compiler() -> str:
    """The compiler, which has just compiled a few lines. Raises UserError where there is none, or it cannot."""
    found = cpp_compiler()
    if found is None:
        name = os.environ.get("CXX")
        problem = f"CXX={name} is not found" if name else "there is no C++ compiler here"
        raise UserError(f"--compile cannot be used: {problem}; {REMEDY}")
    if sys.platform == "win32":
        return found  # which knows none of these options
    words = [found, "-x", "c++", "-fsyntax-only", "-"]
    try:
        tried = subprocess.run(
            words, input=PROGRAM, capture_output=True, text=True, timeout=60, check=False
        )
        fault = tried.stderr.strip() or f"exit status {tried.returncode}"
        works = tried.returncode == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        works, fault = False, str(error)
    if not works:
        raise UserError(
            f"--compile cannot be used: {found} fails ({fault.splitlines()[0]}); {REMEDY}"
        )
    return found
