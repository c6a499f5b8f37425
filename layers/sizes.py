"""Print the sizes of a build's layers and packages, and compare them with Lambda's limits (`make size`).

    python3 -m layers.sizes .aws-sam/build

The exit status is 1 if a layer is too large.
"""

import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

MIB = 1024 * 1024
# Lambda's limit of a function with all its layers ("Deployment package size"), and our own limit of the dependencies.
LAMBDA_LIMIT = 250 * MIB
DEPENDENCIES_LIMIT = 50 * MIB
_SHOWN = 0.2 * MIB


def packages(layer: Path) -> dict[str, tuple[int, int]]:
    """Return the bytes of each top-level package of a layer, unzipped and zipped, with metadata and bytecode."""
    unzipped: Counter[str] = Counter()
    zipped: Counter[str] = Counter()
    for file in _files(layer):
        name = _package(file.relative_to(layer / "python"))
        content = file.read_bytes()
        unzipped[name] += len(content)
        zipped[name] += len(zlib.compress(content, level=6))
    return {name: (unzipped[name], zipped[name]) for name in unzipped}


def unzipped_size(layer: Path) -> int:
    """Return the bytes of a layer, unzipped."""
    return sum(file.stat().st_size for file in _files(layer))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _package(path: Path) -> str:
    """Return the package of a file. A single module counts by its name, and all metadata count together."""
    top = path.parts[0]
    if top.endswith(".dist-info"):
        return "*.dist-info"
    return path.name.split(".")[0] if top == "__pycache__" else top.removesuffix(".libs").split(".")[0]


def main() -> int:
    """Print the table. Return 1 if a layer is too large."""
    layers = sorted(Path(sys.argv[1]).glob("*Layer"))
    if not layers:
        print(f"no layers in {sys.argv[1]}: run `make build`", file=sys.stderr)
        return 1
    print(f"{'MiB':32}{'unzipped':>10}{'zipped':>10}")
    total, too_large = 0, []
    for layer in layers:
        sizes = packages(layer)
        unzipped, zipped = (sum(column) for column in zip(*sizes.values(), strict=True))
        total += unzipped
        print(f"{layer.name:32}{unzipped / MIB:10.1f}{zipped / MIB:10.1f}")
        for name, (one, other) in sorted(sizes.items(), key=lambda item: -item[1][0]):
            if one >= _SHOWN:
                print(f"  {name:30}{one / MIB:10.1f}{other / MIB:10.1f}")
        if layer.name == "DependenciesLayer" and unzipped > DEPENDENCIES_LIMIT:
            too_large.append(f"{layer.name} is larger than {DEPENDENCIES_LIMIT // MIB} MiB")
    print(f"{'all layers':32}{total / MIB:10.1f}")
    if total > LAMBDA_LIMIT:
        too_large.append(f"the layers are larger than {LAMBDA_LIMIT // MIB} MiB together")
    for problem in too_large:
        print(problem, file=sys.stderr)
    return 1 if too_large else 0


if __name__ == "__main__":
    sys.exit(main())
