# Sourced by scripts/serve and scripts/test: makes .venv hold what uv.lock names, and is quick when it does.
# shellcheck shell=sh
#
# Needs Python 3.11+ and PyPI, nothing else: uv comes from PyPI into .venv. The caller has set `root`.

UV_VERSION=0.13.8

say() { printf 'imagegate: %s\n' "$*" >&2; }

fail() {
    say "$@"
    exit 1
}

# A tester's shell must not decide which Python or which environment is used.
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV UV_PYTHON
export UV_PROJECT_ENVIRONMENT="$root/.venv" UV_PYTHON_DOWNLOADS=never PIP_DISABLE_PIP_VERSION_CHECK=1

# uv brings its own certificate list, which does not know a company's TLS proxy; the system's list does.
if [ -z "${UV_SYSTEM_CERTS-}" ]; then
    for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
        if [ -s "$bundle" ]; then
            export UV_SYSTEM_CERTS=true
            break
        fi
    done
fi

# Without a home folder (containers, service users) the caches lie in the clone.
if [ -z "${HOME-}" ] || [ ! -w "${HOME-}" ]; then
    export UV_CACHE_DIR="${UV_CACHE_DIR-$root/.cache/uv-cache}" PIP_NO_CACHE_DIR=1
fi

# Prints the path of a Python 3.11+ outside any virtual environment. A name on PATH may be a shim that fails.
find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
        command -v "$name" >/dev/null 2>&1 || continue
        "$name" -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1)
print(getattr(sys, "_base_executable", None) or sys.executable)' 2>/dev/null && return
    done
    fail "Python 3.11 or newer is needed and none was found on PATH. Install it, for example with" \
        "'apt-get install python3 python3-venv', 'dnf install python3.12' or 'brew install python', and start again."
}

# What .venv was made from: the place of the clone (editable installs hold its path) and the two files.
fingerprint() { printf '%s\n' "$root" && cat "$root/pyproject.toml" "$root/uv.lock"; }

# is_ready STAMP...: whether one of the stamps is that of the files as they are now.
is_ready() {
    "$root/.venv/bin/python" -c '' 2>/dev/null || return 1
    for stamp in "$@"; do
        fingerprint | cmp -s - "$root/.venv/$stamp" && return 0
    done
    return 1
}

# install_uv PYTHON: sets `uv`, making .venv if it is missing.
install_uv() {
    for uv in "$root/.venv/bin/uv" "$root/.cache/uv/bin/uv"; do
        "$uv" --version >/dev/null 2>&1 && return
    done
    # Debian's Python comes without venv unless python3-venv is installed; then pip alone will do.
    [ -e "$root/.venv" ] || "$1" -m venv "$root/.venv" >/dev/null 2>&1 || rm -rf "$root/.venv"
    if [ -x "$root/.venv/bin/pip" ] && "$root/.venv/bin/python" -m pip install --quiet "uv==$UV_VERSION"; then
        uv="$root/.venv/bin/uv"
        return
    fi
    if "$1" -m pip install --quiet --target "$root/.cache/uv" "uv==$UV_VERSION"; then
        uv="$root/.cache/uv/bin/uv"
    elif uv=$(command -v uv); then
        say "using uv from PATH"
    else
        fail "uv could not be installed from PyPI. Either $1 has neither venv nor pip (on Debian and Ubuntu:" \
            "'apt-get install python3-venv'), or PyPI cannot be reached (see pip's message above)."
    fi
}

# sync STAMP UV_SYNC_OPTIONS...: bring .venv to uv.lock and stamp it.
sync() {
    stamp=$1
    shift
    mkdir -p "$root/.cache" 2>/dev/null && [ -w "$root" ] || fail "cannot write to $root, where .venv is made"
    if command -v flock >/dev/null 2>&1; then # two first starts at once
        exec 9>"$root/.cache/environment.lock"
        flock 9
        if is_ready "$stamp"; then
            exec 9>&-
            return
        fi
    fi
    python=$(find_python) || exit 1
    if [ -e "$root/.venv" ] && ! "$root/.venv/bin/python" -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1)' 2>/dev/null; then
        say "removing .venv: its Python no longer runs"
        rm -rf "$root/.venv"
    fi
    for old in "$root/.venv/.ready-serve" "$root/.venv/.ready-test"; do
        if [ -e "$old" ] && [ "$(head -n 1 "$old")" != "$root" ]; then
            say "removing .venv: it was made for another folder"
            rm -rf "$root/.venv"
        fi
    done
    say "making .venv ready with $("$python" --version 2>&1) (once; later starts skip this)"
    install_uv "$python"
    rm -f "$root/.venv/$stamp"
    if [ -x "$root/.venv/bin/python" ]; then
        python="$root/.venv/bin/python"
    fi
    (cd "$root" && "$uv" sync --quiet --frozen --python "$python" "$@") ||
        fail "uv could not install the locked packages (its message is above)."
    fingerprint >"$root/.venv/$stamp"
    if command -v flock >/dev/null 2>&1; then
        exec 9>&-
    fi
}
