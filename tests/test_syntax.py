"""Sources that count by their syntax tree: what changes nothing, what does, where bytes count."""

from __future__ import annotations

import ast
import json
import subprocess
import sysconfig
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.environments import interpreters
from tasks.fingerprint import Files, canonical
from tasks.languages import GRAMMAR as OLDEST
from tasks.languages import python, said, syntax
from tasks.state import State
from tests.conftest import RUNNER
from tests.workshop import ASK

if TYPE_CHECKING:
    from tests.conftest import Repository

# All that the grammar of Python 3.10 has, with what Pythons have read in their own ways.
GRAMMAR = r'''
"""A docstring."""
from __future__ import annotations
import a.b as c, d
from . import e
from ..f import (g as h, i)
async def j(k, /, l: int = 1, *m, n, o=2, **p) -> None:
    """Text."""
    nonlocal_ = await k
    async with a as b, c: pass
    async for d in e: break
    else: return
    return [f async for f in g if h if i]
@decorated.by(1, *two, three=3, **four)
class K(L, metaclass=M):
    n: int = 1
    (o): str
    def p(self):
        x = 0
        def q():
            nonlocal x
            global y
            yield
            z = yield x
            yield from q()
        return lambda a, b=1, *c, d, **e: (a, b)
def r(*, a=(b := 1)): del a, b[0], c.d
match s:
    case 1 | -2.5 | 3 - 4j | "five" | b"six" | None | True: pass
    case [a, (b, *_), {"c": d, **e}] if f: pass
    case K(1, x=y) as z: pass
    case L.M | []: pass
    case _: pass
try: pass
except (t, u) as v: raise w from x
except: raise
else: pass
finally: pass
with (a as b, c as d,): pass
with a as (b, c), d: pass
for x, *y in *a, b: continue
while not x and y or z: assert x, "why"
if x: y
elif z: a * b
else: c
x = y = *a, b
x += 1; x @= 2; x //= 3; x **= 4; x <<= 5; x >>= 6; x &= 7; x ^= 8; x |= 9; x %= 10; x -= 1; x /= 2
x[1], x[1:2], x[::3], x[..., 4:5:6], x[(1, 2)], x[y := 1], x[()]
1 < 2 <= 3 > 4 >= 5 == 6 != 7 is 8 is not 9 in 10 not in 11
{1: 2, **a}, {1, *a}, {}, [*a], (a,), {a: b for a in b}, {a for a in b}, (a for a in b)
f(*a, b, *c, d=e, **f)(g for g in h)
a if b else c, -a, +a, ~a, not a, a @ b, a ** -b
0, 1, 1.0, True, False, None, ..., 1j, 0.0, -0.0, 1e999, 0x10, 1_000, 5e-324, 1e22
123456789123456789123456789
"", b"", "a" 'b', u"a", "\x00\ud800\U0010ffff\N{BULLET}é", b"\x00\xff", r"\d", rb"\d", """a
b""", "a\
b"
f"", f"a{b}c" "d" rf"\{e}", f"{a!r:>{b}.{c!s}}" u"f", f"{a=}{b = !s:^20}", f"{{{a}}}", f"{'a' 'b'}"
f"{a['b']}{f'{c}'}{(lambda: 1)}{ {1: 2}[1] }", f"""{
a
}""", f"{a:%H:%M}", f"{a:{b:0}.{c:1}}", f'é{a}ü' f'{b}ö', f"{a!r:}"
'''

EQUAL = {
    "a comment": ("x = 1\n", "# one\nx = 1  # two\n"),
    "blank lines and the end": ("x = 1\ny = 2\n", "\n\nx = 1\n\n\ny = 2"),
    "layout": ("f(a, b)\nx = {1: 2}\n", "f(\n    a,\n    b,\n)\nx = {\n    1: 2,\n}\n"),
    "quotes": ("x = 'a'\n", 'x = "a"\n'),
    "brackets": ("x = a + b * c\n", "x = (a + (b * c))\n"),
    "how a number is written": ("x = 1000, 255, 1.0\n", "x = 1_000, 0xFF, 1.00\n"),
    "how a string is written": ("x = 'ab\\n'\n", "x = ('a'\n     '''b\n''')\n"),
    "line ends": ("x = '''a\nb'''\n", "x = '''a\r\nb'''\r\n"),
    "a mark at the beginning": ("x = 1\n", "\ufeffx = 1\n"),
    "indentation": ("if x:\n  y\n", "if x:\n\ty\n"),
    "an ignored type": ("x = 1\n", "x = 1  # type: ignore[assignment]\n"),
    "that it is UTF-8": ("x = 'é'\n", "# -*- coding: utf-8 -*-\nx = 'é'\n"),
}

VALUES = [
    "0", "1", "1.0", "True", "False", "None", "...", "1j", "0.0", "-0.0", "0j", "''", "b''", "'1'",
    "b'1'", "u'1'", "f'1'", "()", "[]", "{}", "1e999", "'None'", "'a', 'b'", "'a, b'", "('a',)",
    "2**64", "18446744073709551616", "18446744073709551617", "f'{a}'", "f'{a!r}'", "f'{a:}'",
    "f'{a}' 'b'", "f'{a:b}'", "a", "a.b", "a()", "a(b)", "a(*b)", "a(b=b)", "a(**b)", "a[b]",
    "a[b:]", "a[:b]", "a[::b]", "a[b,]", "not a", "-a", "+a", "~a", "a + b", "b + a", "a - b",
    "a < b", "a <= b", "a is b", "a and b", "a or b", "a if b else c", "lambda: a", "lambda a: a",
    "lambda *a: a", "lambda *, a: a", "lambda a=a: a", "[a for a in b]", "{a for a in b}",
    "(a for a in b)", "{a: a for a in b}", "[a for a in b if a]", "{**a}", "{*a}", "[*a]", "{a: b}",
    "{b: a}", "(a := b)",
]  # fmt: skip

STATEMENTS = [
    "a", "del a", "a = b", "a: b = c", "a: b", "(a): b", "a += b", "return a", "return", "pass",
    "raise", "raise a", "raise a from b", "import a", "import a as b", "import a.b",
    "from a import b", "from . import a", "from .. import a", "from .a import b", "global a",
    "nonlocal a", "with a: pass", "with a as b: pass", "with a, b: pass", "for a in b: pass",
    "async def f(): pass", "def f(): pass", "def f(a): pass", "def f(a, /): pass",
    "def f(*, a): pass", "def f(*, a=b): pass", "def f(a=b): pass", "def f(): '''A docstring.'''",
    "def f(): '''Another.'''", "def f() -> a: pass", "def f(a: b): pass", "@a\ndef f(): pass",
    "class f: pass", "class f(a): pass", "class f(a=b): pass", "class f:\n a = 1\n b = 2",
    "class f:\n b = 2\n a = 1", "try: a\nexcept: b", "try: a\nexcept b: b",
    "try: a\nexcept b as c: b", "try: a\nfinally: b", "match a:\n case None: pass",
    "match a:\n case True: pass", "match a:\n case False: pass", "match a:\n case 0: pass",
    "match a:\n case _: pass", "match a:\n case b: pass", "match a:\n case [*b]: pass",
    "match a:\n case [*_]: pass", "assert a", "assert a, b", "while a: pass",
    "while a: pass\nelse: b", "if a: pass", "if a: pass\nelse: b",
]  # fmt: skip

BY_BYTES = {
    "log file": "import logging\nlogging.basicConfig(filename='models/a.log')",
    "log handler": "import logging\nh = logging.FileHandler('models/a.log')",
    "traceback in a log": "import logging\nlogging.error('x', exc_info=True)",
    "a log handler of its own": "class H(logging.Handler):\n    def emit(self, r): kept.append(r)",
    "an imported log handler": "from logging import Handler as Base",
    "a log formatter of its own": "class F(logging.Formatter): pass",
    "a formatted traceback": "text = formatter.formatException(error)",
    "a traceback that was formatted": "kept.append(record.exc_text)",
    "where a log was called": "place = log.findCaller()",
    "records of its own": "log.makeRecord(*values)",
    "a handler of rich": "from rich.logging import RichHandler",
    "tracebacks of rich": "import rich.traceback",
    "a console that tells lines": "from rich.console import Console\nConsole(file=f).log('x')",
    "a cache of functions": "from joblib import Memory\nm = Memory('models')",
    "a cache of functions by its module": "import joblib\nm = joblib.Memory('models')",
    "a network with its source": "torch.save(n, p, _use_new_zipfile_serialization=False)",
    "a network with its source, by words": "save(n, **{'_use_new_zipfile_serialization': False})",
    "structlog": "from structlog.processors import CallsiteParameter",
    "a line in capitals": "found = Parameter.LINENO",
    "a name with a line in capitals": "from parameters import LINENO",
    "the path of a source in bytes": "open(b'model_modules/data.txt')",
    "code by a pattern": "match f:\n    case object(__code__=k): pass",
    "a line by a pattern": "match f:\n    case Frame(f_lineno=k): pass",
    "error stream": "import sys\nsys.stderr = open('models/errors', 'w')",
    "redirected": "from contextlib import redirect_stderr\nwith redirect_stderr(f): pass",
    "names of a class": "found = {n: getattr(C, n) for n in dir(C)}",
    "names of a body": "class C:\n    found = dict(locals())",
    "shell": "import os\nos.system('cat model_m*/t*')",
    "any name": "from pathlib import Path\nfound = Path().glob('**/t*')",
    "archive": "import tarfile\ntarfile.open('a.tar', 'w').add('.')",
    "its own path": "open(__file__)",
    "its path by name": "globals()['__file__']",
    "inspect": "import inspect",
    "a part of inspect": "from inspect import getsource as g",
    "linecache": "import linecache",
    "traceback": "from traceback import format_exc",
    "doctest": "import doctest",
    "marshal": "import marshal",
    "cloudpickle": "import cloudpickle.cloudpickle",
    "a Lambda layer": "keras.layers.Lambda(lambda x: x)",
    "an imported Lambda layer": "from keras.layers import Lambda as Layer",
    "TorchScript": "import torch\ntorch.jit.script(f)",
    "an exported network": "from torch.export import export",
    "a frame": "import sys\nsys._getframe(0)",
    "a frame, imported": "from sys import _getframe as f",
    "a line of a frame": "f.f_lineno",
    "code": "f.__code__",
    "a part of code": "c.co_names",
    "a line in the form of a log": "FORMAT = '%(lineno)d %(message)s'",
    "the names of a class": "vars(f)",
    "the folder of the sources": "open('model_modules/data.txt')",
    "the name of a source": "open('training.py')",
    "a walk": "import os\nos.walk('.')",
    "any file": "folder.glob('*')",
    "files by a name that is not known": "folder.glob(pattern)",
    "what is run by its name": "import importlib",
    "text that is run": "exec(text)",
    "text that is compiled": "compile(text, 'x', 'exec')",
    "programs": "import subprocess",
    "a type comment": "x = []  # type: List[int]",
    "another encoding": "# coding: latin-1",
    "syntax of 3.11: except*": "try: pass\nexcept* a: pass",
    "syntax of 3.11: a star in an index": "a[*b]",
    "syntax of 3.12: type parameters": "def f[T](): pass",
    "syntax of 3.12: type": "type X = int",
    "syntax of 3.12: quotes in an f-string": "f'{a['b']}'",
    "syntax of 3.12: quotes that were strings": "f'{' '.join(a)!r} with ' f'{b}'",
    "syntax of 3.12: a backslash in an f-string": "f'{\"\\n\"}'",
    "syntax of 3.12: a comment in an f-string": "f'''{a # b\n}'''",
    "syntax of 3.12: a line end in an f-string": "f'{\na}'",
    "syntax of 3.12: fields in fields": "f'{a:{b:{c}}}'",
    "braces that 3.13 reads otherwise": "f'{a:{b}{{}}}'",
    "syntax of Python 2": "print 'x'",
    "what is no Python": "x = (",
    "more depth than all can take": "x = " + "+".join("1" * 1000),
}

BY_TREE = {
    "plain log": "import logging\nlogging.basicConfig(level=logging.INFO)",
    "csv files": "from pathlib import Path\nfound = Path('data').glob('part-*.csv')",
    "files of a kind": "Path('models').glob('*.parquet')",
    "files that begin so": "folder.glob('*/part-*')",
    "an array": "numpy.trace(a), numpy.stack([a]), a.compile(), re.compile('x')",
    "a comment that speaks of it": "x = 1  # inspect.getsource(__file__)",
    "the word in a docstring": "'''Inspect the code.'''",
    "a weight": "torch.save(net.state_dict(), 'models/net.pt')",
    "a pickle": "import joblib, pickle\njoblib.dump(a, 'models/a.joblib')",
    "our export": "from model_runtime.warehouse import connect, export\nexport(c, t)",
    "a log": "import logging\nlogging.getLogger(__name__).info('%s', x)",
    "a log of an exception": "log = logging.getLogger(__name__)\nlog.exception('x')",
    "a signal's handler": "signal.signal(signal.SIGTERM, handler)",
    "other bytes": "x = b'\\x00PNG'",
    "other patterns": "match p:\n    case Point(x=0, y=y): pass",
    "memory": "x = memory_usage(memory=1)",
    "a warning": "import warnings\nwarnings.filterwarnings('ignore')",
}

PROGRAM = """\
import json, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
from tasks.languages import syntax
def digest(data):
    try:
        return syntax.parse(data)[1]
    except (SyntaxError, ValueError):
        return ""
sources = [text.encode("utf-8", "surrogatepass") for text in json.load(sys.stdin)]
print(json.dumps([digest(source) for source in sources]))
"""


def digest(source: str) -> str:
    """Return the digest of a source's tree, nothing where its bytes count."""
    return python.read_source(source.encode())[2]


@pytest.mark.parametrize(("before", "after"), EQUAL.values(), ids=list(EQUAL))
def test_what_changes_nothing(before: str, after: str) -> None:
    """Comments, blank lines and what a formatter does leave the digest as it is."""
    assert digest(before)
    assert digest(before) == digest(after)


def test_every_other_difference_counts() -> None:
    """No two of many small sources, each of another meaning, have one digest."""
    sources = [f"x = {value}" for value in VALUES] + STATEMENTS
    found: dict[str, list[str]] = {}
    for source in sources:
        found.setdefault(digest(source), []).append(source)

    assert [] == [same for same in found.values() if len(same) > 1]
    assert "" not in found


@pytest.mark.parametrize("source", BY_BYTES.values(), ids=list(BY_BYTES))
@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_where_bytes_count(source: str) -> None:
    """A source that may see its own text or lines, or that not all Pythons read alike."""
    assert "" == digest(source)


@pytest.mark.parametrize("source", BY_TREE.values(), ids=list(BY_TREE))
def test_where_the_tree_counts(source: str) -> None:
    """What looks like it, and is what models do every day."""
    assert digest(source)


def test_a_comment_cannot_make_its_source_count_by_bytes() -> None:
    """Else the comment itself would change the key."""
    assert digest("x = 1\n") == digest("x = 1  # __file__, inspect, lineno\n")


def test_the_form_is_written_down() -> None:
    """A change of the digest's form would make the results of all Python models stale."""
    digests = [digest(f"x = {value}") for value in VALUES] + [digest(one) for one in STATEMENTS]
    grammar = syntax.parse(GRAMMAR.encode())[1]

    digested = canonical("digests", [*digests, grammar])

    assert "56f62139501a4415b2906b9cd9fd390d6ffbcc2d369a0a9b1e67d89899a21bd8" == digested


def test_all_pythons_agree(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same source has the same digest on every Python here that can run the build system."""
    monkeypatch.setattr(interpreters, "_ask", ASK)
    monkeypatch.chdir(repository.path)
    found = interpreters.installed(State("build/state.db"))
    pythons = {one.minor: one.path for one in found if one.implementation == "CPython"}
    library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    sources = [GRAMMAR, *BY_BYTES.values(), *BY_TREE.values()]
    sources += [source for pair in EQUAL.values() for source in pair]
    sources += [path.read_text(encoding="utf-8") for path in library[::4]]
    told = {}
    for minor, path in pythons.items():
        if tuple(map(int, minor.split("."))) >= OLDEST:
            done = subprocess.run(
                [path, "-B", "-c", PROGRAM, str(RUNNER)], input=json.dumps(sources),
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            told[minor] = json.loads(done.stdout)

    first = told.popitem()[1]
    assert all(first[:1])
    assert len(sources) // 2 < sum(map(bool, first))
    for name, digests in told.items():
        differs = [s for s, one, other in zip(sources, first, digests, strict=True) if one != other]
        assert [] == differs, name


def test_what_is_remembered_is_of_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one that runs the build system can read newer syntax, or not any more."""
    kinds: list[str] = []
    files = Files()
    monkeypatch.setattr(files, "note", lambda _path, kind, _make: kinds.append(kind) or "{}")

    said("source.py", python.read_source, files)

    assert sysconfig.get_python_version() in kinds[0].split()


def test_the_grammar_is_whole() -> None:
    """The source with which Pythons are compared has every kind of node that 3.10 knows."""
    tree = ast.parse(textwrap.dedent(GRAMMAR), feature_version=OLDEST)
    kinds = {type(node).__name__ for node in ast.walk(tree)}
    known = {
        name
        for name, kind in vars(ast).items()
        if isinstance(kind, type) and issubclass(kind, ast.AST) and kind.__module__ == "ast"
    }
    abstract = {kind.__name__ for kind in ast.AST.__subclasses__()}
    newer = {"TryStar", "TypeAlias", "TypeVar", "ParamSpec", "TypeVarTuple", "TemplateStr"}
    older = {"Num", "Str", "Bytes", "NameConstant", "Ellipsis", "Index", "ExtSlice", "Suite"}
    older |= {"AugLoad", "AugStore", "Param", "slice", "type_param", "Interpolation"}
    modes = {"Expression", "Interactive", "FunctionType", "TypeIgnore", "AST"}

    assert set() == known - kinds - abstract - newer - older - modes
