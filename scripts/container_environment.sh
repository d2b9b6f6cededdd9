#!/bin/sh
# Makes the environment of an image in /opt/phasefield, step by step; the Dockerfile and phasefield.def run it beside
# pyproject.toml and container_symbols.py.
#
#     container_environment.sh dependencies     a virtual environment with what phasefield needs, as constraints.txt says if it is there
#     container_environment.sh package          phasefield itself, from the source here
#     container_environment.sh extra NAME       what an extra of pyproject.toml adds
#     container_environment.sh also PACKAGE ...    packages beside it
#     container_environment.sh finish           tries it, leaves out what nobody runs, lists the versions in packages.txt
#
# Nothing in the result depends on when it was made: what is compiled is tied to its source's content, not its time.
set -eu
home=/opt/phasefield
[ -f constraints.txt ] || : > constraints.txt

# The environment has no pip of its own: that of the image which builds it is lent.
install() {
    python -m pip --python "$home/bin/python" install --no-cache-dir --no-compile --disable-pip-version-check \
        --root-user-action=ignore --constraint constraints.txt "$@"
}

# The lines of a list in pyproject.toml's table `project`: `dependencies`, or `optional-dependencies NAME`. Not netCDF4, which is for
# users' own programs (xarray takes h5netcdf instead), and 40 MB with what it brings.
listed() {
    python -c '
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    found = tomllib.load(file)["project"]
for name in sys.argv[1:]:
    found = found[name]
print(*(line for line in found if not line.startswith("netCDF4")), sep="\n")' "$@" > listed.txt
}

case ${1:-} in
dependencies)
    python -m venv --without-pip "$home"
    listed dependencies
    install --requirement listed.txt
    ;;
package)
    install --no-deps .
    ;;
extra)
    listed optional-dependencies "$2"
    install --requirement listed.txt
    ;;
also)
    shift
    install "$@"
    ;;
finish)
    python -m pip --python "$home/bin/python" freeze --exclude phasefield > "$home/packages.txt"
    modules=$("$home/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    # Tests of other packages, and sources that are compiled already. Headers stay: those of CUDA and CuPy are needed.
    find "$modules" -depth -type d \( -name tests -o -name test \) -exec rm -r {} +
    find "$modules" -type f \( -name '*.c' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' \) -delete
    find "$home" -depth -type d -name __pycache__ -exec rm -r {} +
    # CUDA's libraries stay as they are: it is not known what a driver reads in them.
    python container_symbols.py "$modules" "$modules"/nvidia "$modules"/cupy "$modules"/cupy_backends
    # An environment in which the main commands fail becomes no image. Python compiles the modules that they load: as whoever runs
    # the container may not write here, these would be compiled at every start, and all others would take as much room again.
    work=$(mktemp -d)
    (
        cd "$work"
        export PATH="$home/bin:$PATH" PHASEFIELD_CACHE="$work/cache" MPLCONFIGDIR="$work/matplotlib"
        phasefield run grid.shape=[32,32] time.end=5 output.dir=run
        phasefield homogenize run material=ni_ni3al
        phasefield report run
    )
    rm -r "$work"
    "$home/bin/python" -c '
import importlib.util, pathlib, py_compile, sys
for compiled in sorted(pathlib.Path(sys.argv[1]).rglob("*.pyc")):
    source = importlib.util.source_from_cache(compiled)
    py_compile.compile(source, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)' "$modules"
    ;;
*)
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
