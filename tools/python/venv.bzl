"""A Python toolchain whose interpreter has the packages of a hash-locked requirements file.

They are installed once, into a virtual environment in the repository's own folder. Its name carries Python's
version and a digest of the lock: another of either is another interpreter, so that no test result of the old one is
taken for one of the new. For each package in the lock there is an empty library, `@pip//:the_name`: depending on it
costs nothing, and a name that is not in the lock is an error.
"""

# In the order in which they are looked for: that in which they are most often used here, then whatever python3 is.
_VERSIONS = ["3.11", "3.12", "3.13", "3.10"]

_BUILD = """\
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

package(default_visibility = ["//visibility:public"])

py_runtime(
    name = "python3",
    interpreter_path = "{python}",
    python_version = "PY3",
    stub_shebang = "#!{python}",
)

py_runtime_pair(
    name = "runtimes",
    py3_runtime = ":python3",
)

toolchain(
    name = "toolchain",
    toolchain = ":runtimes",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)

[py_library(name = name) for name in {packages}]
"""

# Must run, as far as its first line of output, on whatever calls itself python3.
_PROBE = """
import sys
print("%d.%d.%d" % sys.version_info[:3])
import ensurepip, venv
"""

_DIGEST = "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest()[:12])"

_NO_PYTHON = """

Python {versions} with its venv module is needed, and was not found. Looked at:
  {looked_at}
Install one (Debian, Ubuntu: apt-get install python3-venv; macOS: brew install python@3.12),
or name one: export RETRAIN_PYTHON=/its/folder/python3
"""

def _last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no output"

def _candidates(ctx):
    """Every file that may be a Python, best first: a broken one must not hide a good one further down PATH."""
    chosen = ctx.os.environ.get("RETRAIN_PYTHON")
    if chosen:
        return [ctx.path(chosen)] if chosen.startswith("/") else fail("RETRAIN_PYTHON is not an absolute path: " + chosen)
    folders = [f for f in ctx.os.environ.get("PATH", "").split(":") if f.startswith("/")]
    names = ["python" + version for version in _VERSIONS] + ["python3"]
    paths = [ctx.path(folder + "/" + name) for name in names for folder in folders]
    return [path for path in paths if path.exists]

def _find_python(ctx):
    """Returns the path of the first Python that will do, and its version."""
    looked_at = {}
    for path in _candidates(ctx):
        if str(path.realpath) in looked_at:
            continue
        probe = ctx.execute([path, "-I", "-c", _PROBE])
        version = probe.stdout.strip()
        if version.rpartition(".")[0] not in _VERSIONS:
            problem = version or "does not run: " + _last_line(probe.stderr)
        elif probe.return_code:
            problem = "%s, but: %s" % (version, _last_line(probe.stderr))
        else:
            return path, version
        looked_at[str(path.realpath)] = "%s: %s" % (path, problem)
    fail(_NO_PYTHON.format(
        versions = ", ".join(sorted(_VERSIONS)),
        looked_at = "\n  ".join(looked_at.values() or ["no python3 on PATH"]),
    ))

def _run(ctx, what, command):
    ctx.report_progress(what)
    done = ctx.execute(command, timeout = 3600)
    if done.return_code:
        # After a wrong hash pip lists every right one, which pushes the package's name out of sight.
        lines = [line for line in done.stderr.splitlines() if "Expected     or" not in line]
        fail("\n\n%s failed:\n  %s\n" % (what, "\n  ".join(lines[-15:])))
    return done.stdout.strip()

def _python_venv_impl(ctx):
    base_python, version = _find_python(ctx)
    lock = ctx.path(ctx.attr.requirements)
    digest = _run(ctx, "Reading " + lock.basename, [base_python, "-I", "-c", _DIGEST, lock])
    venv = ctx.path("venv-%s-%s" % (version, digest))
    python = str(venv) + "/bin/python3"
    _run(ctx, "Making a virtual environment", [base_python, "-I", "-m", "venv", venv])
    _run(ctx, "Installing %s (the first time it fetches 400 MB)" % lock.basename, [
        python,
        "-I",
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--no-user",
        "--only-binary=:all:",
        "--progress-bar=off",
        "--require-hashes",
        "--requirement",
        lock,
    ])
    packages = {}
    for line in ctx.read(lock).splitlines():
        name, pinned, _ = line.partition("==")
        if pinned and name[0] not in " #":
            packages[name.replace("-", "_").replace(".", "_")] = None
    ctx.file("BUILD", _BUILD.format(python = python, packages = packages.keys()))

python_venv = repository_rule(
    implementation = _python_venv_impl,
    attrs = {"requirements": attr.label(mandatory = True, allow_single_file = True)},
    # Not PATH, which differs from one terminal to the next: the packages would be installed again each time.
    environ = ["RETRAIN_PYTHON"],
)
