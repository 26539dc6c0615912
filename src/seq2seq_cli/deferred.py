"""Dataclasses and patterns that are compiled when first used, for commands that start often.

- `dataclass` as the standard library has it. That one compiles up to six methods for every class,
  which takes half a millisecond: for the hundred classes of a translation, more than translating a
  line. Here methods are the same functions for all classes, and `__init__` is compiled for classes
  with more than a few objects.
- `pattern`, a regular expression. Those with long classes of characters take milliseconds.
"""

import dataclasses
import re
from collections.abc import Callable
from functools import cache
from reprlib import recursive_repr
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar, cast

Kind = TypeVar("Kind", bound=type)

FEW_OBJECTS = 3  # of a class, that are made without a method of its own

# Held while a class is made: for a moment, the classes that it inherits from do not look frozen.
_MAKING = Lock()

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, eq=True, **others):
        """As `dataclasses.dataclass`, of which other options than these make an ordinary one."""
        if others:
            return dataclasses.dataclass(cls, frozen=frozen, eq=eq, **others)
        if cls is None:
            return lambda given: _made(given, frozen, eq)
        return _made(cls, frozen, eq)


def _made(cls: Kind, frozen: bool, eq: bool) -> Kind:
    own = set(vars(cls))
    _find_fields(cls, frozen)
    methods: dict[str, Any] = {"__init__": _first_init(cls, frozen), "__repr__": _repr}
    if eq:
        methods["__eq__"] = _equals
        if frozen:
            methods["__hash__"] = _hash
        elif "__hash__" not in own:
            methods["__hash__"] = None
    if frozen:
        methods |= {"__setattr__": _setter_of(cls), "__delattr__": _deleter_of(cls)}
    for name, method in methods.items():
        if name not in own or (name == "__hash__" and method is None):
            setattr(cls, name, method)
    return cls


def _find_fields(cls: type, frozen: bool) -> None:
    """Let the standard library find the fields. Raises TypeError if only some bases are frozen."""
    bases = [
        vars(base)["__dataclass_params__"]
        for base in cls.__mro__[1:]
        if "__dataclass_params__" in vars(base)
    ]
    if any(base.frozen != frozen for base in bases):
        raise TypeError(f"{cls.__name__} and what it inherits from are not both frozen")
    with _MAKING:
        for base in bases:
            base.frozen = False
        try:
            dataclasses.dataclass(init=False, repr=False, eq=False)(cls)
        finally:
            for base in bases:
                base.frozen = frozen
    params = vars(cls)["__dataclass_params__"]
    params.init = params.repr = params.eq = True
    params.frozen = frozen


def _first_init(cls: Any, frozen: bool) -> Callable[..., None]:
    """An `__init__` that compiles another once so many objects were made that it pays."""
    made = 0

    def first_init(self: Any, *values: Any, **named: Any) -> None:
        nonlocal made
        made += 1
        names = [field.name for field in dataclasses.fields(cls) if field.init]
        given = dict(zip(names, values, strict=False))
        if made > FEW_OBJECTS or len(given) < len(values) or given.keys() & named.keys():
            compiled = _compiled_init(cls, frozen)
            cls.__init__ = compiled
            compiled(self, *values, **named)
            return
        _fill(cls, self, given | named)

    return first_init


def _fill(cls: Any, record: Any, given: dict[str, Any]) -> None:
    """Do what the compiled `__init__` does. Raises TypeError for missing and unknown values."""
    for field in dataclasses.fields(cls):
        if field.init and field.name in given:
            value = given.pop(field.name)
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        elif not field.init:
            continue
        elif field.default is not dataclasses.MISSING:
            value = field.default
        else:
            raise TypeError(f"{cls.__qualname__}.__init__() lacks an argument: {field.name!r}")
        object.__setattr__(record, field.name, value)
    if given:
        name = next(iter(given))
        raise TypeError(
            f"{cls.__qualname__}.__init__() got an unexpected keyword argument {name!r}"
        )
    if hasattr(record, "__post_init__"):
        record.__post_init__()


def _compiled_init(cls: Any, frozen: bool) -> Callable[..., None]:
    """Compile `__init__`, in the way that the standard library does."""
    names: dict[str, Any] = {"_set": object.__setattr__, "_missing": dataclasses.MISSING}
    parameters, lines = ["self"], list[str]()
    for field in dataclasses.fields(cls):
        value, default, factory = field.name, f"_default_{field.name}", f"_new_{field.name}"
        has_default = field.default is not dataclasses.MISSING
        has_factory = field.default_factory is not dataclasses.MISSING
        names |= {default: field.default, factory: field.default_factory}
        if has_factory:
            made = f"{factory}()"
            value = f"{made} if {value} is _missing else {value}" if field.init else made
        if field.init:
            end = f"={default}" if has_default else "=_missing" if has_factory else ""
            parameters.append(field.name + end)
        elif not has_factory:
            continue
        lines.append(
            f"_set(self, {field.name!r}, {value})" if frozen else f"self.{field.name} = {value}"
        )
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    body = "\n    ".join(lines or ["pass"])
    exec(f"def __init__({', '.join(parameters)}):\n    {body}", names)
    made_init: Callable[..., None] = names["__init__"]
    made_init.__qualname__ = f"{cls.__qualname__}.__init__"
    return made_init


@cache
def _compared(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls) if field.compare)


def _values(record: Any) -> tuple[Any, ...]:
    return tuple([getattr(record, name) for name in _compared(record.__class__)])


def _equals(self: object, other: object) -> bool:
    if type(other) is not type(self):
        return NotImplemented  # type: ignore[no-any-return]
    return self is other or _values(self) == _values(other)


def _hash(self: object) -> int:
    return hash(_values(self))


@recursive_repr()
def _repr(self: Any) -> str:
    shown = (field.name for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(f'{n}={getattr(self, n)!r}' for n in shown)})"


def _setter_of(cls: Any) -> Callable[[Any, str, Any], None]:
    def setter(self: Any, name: str, value: Any) -> None:
        if type(self) is cls or name in cls.__dataclass_fields__:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    return setter


def _deleter_of(cls: Any) -> Callable[[Any, str], None]:
    def deleter(self: Any, name: str) -> None:
        if type(self) is cls or name in cls.__dataclass_fields__:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    return deleter


def pattern(expression: str, flags: int = 0) -> re.Pattern[str]:
    """A regular expression that is compiled when one of its methods is first used."""
    return cast("re.Pattern[str]", _Pattern(expression, flags))


class _Pattern:
    def __init__(self, expression: str, flags: int) -> None:
        self.pattern, self._flags = expression, flags

    def __getattr__(self, name: str) -> Any:
        found = getattr(re.compile(self.pattern, self._flags), name)
        setattr(self, name, found)
        return found
