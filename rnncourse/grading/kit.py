"""What the sandbox holds of the course: the helpers that an exercise names, and none of its answers."""

import ast
import atexit
import importlib.metadata
import re
import shutil
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parent.resolve()
FOLDER = None
"""Where kits are made, if someone else removes them at the end."""
COURSE = PACKAGE.parent if (PACKAGE.parent / "solutions").is_dir() else PACKAGE
"""The folder with all the answers."""
IMPORT = (ast.Import, ast.ImportFrom)
CHECK = '''"""While it is graded, a notebook is not checked: the grader calls the functions itself."""


def check(question, answer, seed=None):
    """Do nothing."""
'''


def needed(statements, names, without=frozenset()):
    """Which top-level statements define `names`, and what those need, in order, and all names they use.

    Parameters
    ----------
    statements : list of ast.stmt
    names : set of str
    without : set of str
        Names whose definitions are left out.

    Returns
    -------
    kept : list of ast.stmt
    names : set of str
        `names` and all that the kept statements refer to.
    """
    names, kept = set(names), set()
    candidates = [i for i, s in enumerate(statements) if isinstance(s, IMPORT) or not defines(s) & without]
    while True:
        found = {i for i in candidates if i not in kept and defines(statements[i]) & names}
        if not found:
            return [statements[i] for i in sorted(kept)], names
        kept |= found
        for i in found:
            names |= uses(statements[i])


def defines(statement):
    """Names that a top-level statement gives a value, or changes."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            names |= {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
    return names


def uses(tree):
    """Names of the module that a piece of code refers to; a function's own names are left out."""
    if isinstance(tree, ast.Name):
        return {tree.id}
    below = [uses(child) for child in ast.iter_child_nodes(tree)]
    names = set().union(*below)
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        own = tree.body if isinstance(tree.body, list) else [tree.body]
        inner = set().union(*(uses(node) for node in own))
        outer = set().union(*(uses(node) for node in ast.iter_child_nodes(tree) if node not in own))
        shared = {
            name for node in own for n in ast.walk(node) if isinstance(n, ast.Global) for name in n.names
        }
        local = {arg.arg for arg in ast.walk(tree.args) if isinstance(arg, ast.arg)} | _stored(own)
        return outer | (inner - (local - shared))
    if isinstance(tree, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        # The first iterable is read outside of the comprehension.
        return names - _stored([g.target for g in tree.generators]) | uses(tree.generators[0].iter)
    return names


def _stored(nodes):
    """Names that these nodes give a value, without those that functions below them keep to themselves."""
    names, queue = set(), list(nodes)
    while queue:
        node = queue.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif not isinstance(node, ast.Lambda):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            if isinstance(node, IMPORT):
                names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
            queue += ast.iter_child_nodes(node)
    return names


def imports(tree):
    """The (module, name) pairs of the course that a piece of code imports by ``from rnncourse... import``."""
    return {
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rnncourse"
        for alias in node.names
    }


def package(names, far=()):
    """Files of a package rnncourse that has these names, what they need, and nothing else.

    Parameters
    ----------
    names : set of (module, name) pairs
    far : sequence of (module, name) pairs
        The grader runs these; the sandbox has a line to them.

    Returns
    -------
    dict
        Text by path.
    """
    wanted = {}
    queue = [pair for pair in names if pair[0] != "rnncourse.grading.check"]
    while queue:
        module, name = queue.pop()
        if name in wanted.setdefault(module, set()):
            continue
        wanted[module].add(name)
        blocked = {n for m, n in far if m == module}
        if _is_module(f"{module}.{name}"):
            below = _statements(f"{module}.{name}")
            queue += [(f"{module}.{name}", n) for statement in below for n in defines(statement)]
        elif name not in blocked:
            queue += _imported(*needed(_statements(module), {name}, blocked))
    files = {"rnncourse/grading/check.py": CHECK}
    for module, called in wanted.items():
        origin, path = _source(module), Path(*module.split("."))
        path = path / "__init__.py" if origin.name == "__init__.py" else path.with_suffix(".py")
        lines = {name: number for number, (m, name) in enumerate(far) if m == module}
        files[str(path)] = _reduced(origin, called, lines)
        for data in sorted(p for p in origin.parent.iterdir() if p.suffix in (".txt", ".tsv")):
            if data.name in files[str(path)]:
                files[str(path.with_name(data.name))] = data.read_text("utf8")
    for path in list(files):
        for parent in Path(path).parents[:-1]:
            files.setdefault(f"{parent}/__init__.py", "")
    return files


def _is_module(name):
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # what stands before the last dot is no package
        return False


def _source(module):
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"the exercise names {module}, which does not exist")
    return Path(spec.origin)


def _statements(module):
    return ast.parse(_source(module).read_text("utf8")).body


def _imported(kept, names):
    """What these statements import from the course, of the import statements at the top only `names`."""
    pairs = []
    for statement in kept:
        if isinstance(statement, ast.ImportFrom):
            statement = _narrowed(statement, names)
        pairs += list(imports(statement))
    return pairs


def _narrowed(statement, names):
    kept = [alias for alias in statement.names if (alias.asname or alias.name) in names]
    return ast.ImportFrom(statement.module, kept, statement.level)


def _reduced(origin, names, far):
    """The text of a module with these names, some of them elsewhere, with a number."""
    text = origin.read_text("utf8")
    lines = text.splitlines()
    kept, used = needed(ast.parse(text).body, names - far.keys(), far.keys())
    used |= names
    parts = [f"from rnncourse_far import f{far[name]} as {name}" for name in sorted(far.keys() & used)]
    for statement in kept:
        if isinstance(statement, ast.ImportFrom):
            parts.append(ast.unparse(_narrowed(statement, used)))
        else:
            parts.append("\n".join(lines[_first(statement) - 1 : statement.end_lineno]))
    return "\n\n".join(parts) + "\n"


def _first(statement):
    decorators = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(d.lineno for d in decorators)])


def new_folder():
    """A new folder for a kit."""
    folder = Path(tempfile.mkdtemp(prefix="rnncourse-kit-", dir=FOLDER))
    if FOLDER is None:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def write(files, folder):
    """Write the files of a kit, and the two that run it, below `folder`, readable by all."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf8")
    for name in ("wire.py", "worker.py"):
        (folder / name).write_text((HERE / name).read_text("utf8"), encoding="utf8")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def libraries(names):
    """Files and folders of these distributions and of what they require, by name in site-packages."""
    found, queue, done = {}, list(names), set()
    while queue:
        name = queue.pop().lower().replace("_", "-")
        if name in done:
            continue
        done.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in distribution.files or []:
            top = file.parts[0]
            if top != ".." and not top.endswith((".dist-info", ".pth")):
                found[top] = Path(distribution.locate_file(top)).resolve()
        for line in distribution.requires or []:
            if "extra ==" not in line:
                queue.append(re.match(r"[\w.-]+", line)[0])
    return {top: path for top, path in found.items() if path.exists()}


def other_libraries():
    """Folders of installed packages below the interpreter, which the sandbox does not show."""
    roots = [Path(sysconfig.get_paths(vars={"base": b, "platbase": b})["purelib"]) for b in _bases()]
    roots += [p for base in ("/usr/lib", "/usr/local/lib") for p in Path(base).glob("python3*/*-packages")]
    roots += [Path("/usr/lib/python3/dist-packages")]
    return sorted({path.resolve() for path in roots if path.is_dir()})


def _bases():
    return {sys.prefix, sys.base_prefix}
