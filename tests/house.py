"""Print the layout of the package: files per folder, import floors, circles, long files and long functions.

``python tests/house.py [ROOT]`` reads the sources under ROOT (this checkout by default) and runs none of them. It is a
picture to look at before a module is added, not a check: nothing fails here.

A module's depth is the number of modules on its longest chain of imports inside the package. A folder's floor is the
same for folders; folders that import each other stand on one floor. Imports inside functions count, those for type
checkers alone do not.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

PACKAGES = ("dpo_analysis", "app")
SOURCES = (".py", ".js", ".css", ".html", ".toml")
MOST_FILES, LONG_FILE, LONG_FUNCTION = 16, 400, 60

Graph = dict[str, set[str]]


def main() -> None:
    """Print the layout of the checkout named on the command line, or of this one."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    sources = {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in _files(root)}
    trees = {path: ast.parse(text) for path, text in sources.items() if path.endswith(".py")}
    graph = imports({path: tree for path, tree in trees.items() if path.startswith(PACKAGES[0])})
    rooms = between_folders(graph)
    print_folders(sources, floors(rooms))
    circles = [circle for circle in components(graph) if len(circle) > 1]
    depths = floors(graph)
    deepest = max(depths, key=lambda module: depths[module])
    print(f"\nfolders and files at the top of {PACKAGES[0]}, as rooms: {len(rooms)}")
    print(f"floors of rooms: {max(floors(rooms).values())}")
    print(f"arrows between rooms: {sum(map(len, rooms.values()))}")
    print(f"modules: {len(graph)}, deepest chain of imports: {depths[deepest]} (to {deepest})")
    _print_list("circles of modules", [" <-> ".join(sorted(circle)) for circle in circles])
    lengths = {path: text.count("\n") for path, text in sources.items() if path.endswith((".py", ".js"))}
    _print_list(f"files over {LONG_FILE} lines", [f"{p} {n}" for p, n in lengths.items() if n > LONG_FILE])
    _print_list(
        f"functions over {LONG_FUNCTION} lines", [line for p, t in trees.items() for line in long_functions(p, t)]
    )


def print_folders(sources: Mapping[str, str], floor_of: Mapping[str, int]) -> None:
    """Print one line per folder: its floor, its files, its lines, and a mark where it holds too many files."""
    folders: dict[str, list[str]] = {}
    for path in sources:
        folders.setdefault(path.rpartition("/")[0], []).append(path)
    print(f"{'folder':42} {'floor':>5} {'files':>5} {'lines':>6}")
    for folder, paths in sorted(folders.items()):
        lines = sum(sources[path].count("\n") for path in paths)
        floor = floor_of.get(folder.replace("/", "."), "")
        print(f"{folder:42} {floor:>5} {len(paths):>5} {lines:>6}{'  too many' if len(paths) > MOST_FILES else ''}")


def imports(trees: Mapping[str, ast.Module]) -> Graph:
    """Return the modules that each module of the package imports, by dotted name."""
    modules = {_module(path): tree for path, tree in trees.items()}
    return {name: {_known(target, modules) for target in _targets(tree)} - {"", name} for name, tree in modules.items()}


def between_folders(graph: Graph) -> Graph:
    """Return the imports between rooms: a room is a folder, or a module at the top of the package."""
    rooms: Graph = {}
    for module, targets in graph.items():
        rooms.setdefault(_room(module, graph), set()).update(_room(target, graph) for target in targets)
    return {room: targets - {room} for room, targets in rooms.items()}


def floors(graph: Graph) -> dict[str, int]:
    """Return the length of each node's longest chain of imports, 1 for a node that imports nothing."""
    group_of = {node: frozenset(group) for group in components(graph) for node in group}

    @cache
    def floor(group: frozenset[str]) -> int:
        below = {group_of[target] for node in group for target in graph[node]} - {group}
        return 1 + max((floor(other) for other in below), default=0)

    return {node: floor(group_of[node]) for node in graph}


def components(graph: Graph) -> list[set[str]]:
    """Return the groups of nodes that reach each other; a node outside every circle is a group by itself."""
    reached = {node: _reachable(node, graph) for node in graph}
    groups = {frozenset({node} | {other for other in reached[node] if node in reached[other]}) for node in graph}
    return [set(group) for group in sorted(groups, key=min)]


def long_functions(path: str, tree: ast.Module) -> Iterator[str]:
    """Yield a line for each function that is longer than LONG_FUNCTION."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > LONG_FUNCTION:
                yield f"{path}:{node.name} {length}"


def _files(root: Path) -> list[Path]:
    return sorted(path for package in PACKAGES for path in (root / package).rglob("*") if path.suffix in SOURCES)


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _targets(tree: ast.AST) -> Iterator[str]:
    """Yield each dotted name that is imported; of ``from a import b`` also ``a.b``, which may be a module."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from _targets(node)


def _known(target: str, modules: Mapping[str, object]) -> str:
    """Return the module that ``target`` names: itself, or the one it is a name of; empty outside the package."""
    while target and target not in modules:
        target = target.rpartition(".")[0]
    return "" if target == PACKAGES[0] else target


def _room(module: str, graph: Graph) -> str:
    is_folder = any(other.startswith(f"{module}.") for other in graph)
    parent = module.rpartition(".")[0]
    return module if is_folder or parent in ("", PACKAGES[0]) else parent


def _reachable(node: str, graph: Graph) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[node])
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += graph[current]
    return seen


def _print_list(title: str, lines: list[str]) -> None:
    print(f"{title}: {len(lines)}")
    for line in lines:
        print(f"  {line}")


if __name__ == "__main__":
    main()
