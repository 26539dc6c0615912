"""Forced prefixes of translations: tokens, or text that the first tokens must spell."""

from bisect import bisect_left
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import NamedTuple, Self

from seq2seq_cli.deferred import dataclass


class Moves(NamedTuple):
    """The tokens that may come in a state of a prefix, ascending, and the state after each."""

    tokens: tuple[int, ...]
    states: tuple[int, ...]


@dataclass(frozen=True)
class ForcedPrefix:
    """The ways in which tokens make up a prefix: states, from 0 to the number of `moves`.

    In the last state the prefix is complete and anything may follow. A state is left for a later
    one only, and always can be. If the prefix `ends_word`, it is complete in the state before, and
    the moves of that state are all tokens that may come after a word. The probability of the first
    token does not count in scores if the `first_is_free`.
    """

    moves: tuple[Moves, ...] = ()
    tokens: tuple[int, ...] = ()  # one of the ways
    ends_word: bool = False
    first_is_free: bool = False

    @classmethod
    def of_tokens(cls, tokens: Sequence[int], followers: Sequence[int] = ()) -> Self:
        """A prefix of these tokens and no others, then one of the followers if there are any."""
        moves = [Moves((token,), (state,)) for state, token in enumerate(tokens, start=1)]
        if followers:
            ends = (len(moves) + 1,) * len(followers)
            moves.append(Moves(tuple(sorted(followers)), ends))
        return cls(tuple(moves), tuple(tokens), ends_word=bool(followers))

    def __bool__(self) -> bool:
        return bool(self.moves)

    @property
    def end(self) -> int:
        """The state in which anything may follow."""
        return len(self.moves)

    @property
    def complete(self) -> int:
        """The first state in which the prefix is complete."""
        return len(self.moves) - self.ends_word

    @property
    def longest(self) -> int:
        """The most tokens that can make it up."""
        tokens = [0] * (self.end + 1)  # from each state to the end
        for state in reversed(range(self.complete)):
            tokens[state] = 1 + max(
                (tokens[after] for after in self.moves[state].states), default=0
            )
        return tokens[0]

    def after(self, state: int, token: int) -> int:
        """The state after a token; the end if the token may not come."""
        if state == self.end:
            return state
        moves = self.moves[state]
        index = bisect_left(moves.tokens, token)
        is_move = index < len(moves.tokens) and moves.tokens[index] == token
        return moves.states[index] if is_move else self.end

    def length_in(self, tokens: Sequence[int]) -> int:
        """How many of the tokens of a translation make up the prefix."""
        state = 0
        for count, token in enumerate(tokens):
            if state >= self.complete:
                return count
            state = self.after(state, token)
        return len(tokens)

    def behind(self, *tokens: int) -> Self:
        """The prefix behind other tokens; the first one's probability does not count in scores."""
        prefix = self
        for token in reversed(tokens):
            moves = [Moves((token,), (1,))]
            moves += [
                Moves(each.tokens, tuple(s + 1 for s in each.states)) for each in prefix.moves
            ]
            prefix = replace(
                prefix,
                moves=tuple(moves),
                tokens=(token, *prefix.tokens),
                first_is_free=True,
            )
        return prefix

    def within(self, usable: Container[int]) -> Self:
        """The ways that consist of usable tokens; those of `tokens` must be."""
        moves = [
            [move for move in zip(*each, strict=True) if move[0] in usable] for each in self.moves
        ]
        if self.ends_word and not moves[-1]:  # no word is usable: it is left to the model
            return self._of_tokens(())
        return replace(self, moves=complete_moves(moves))

    def without(self, token: int) -> Self:
        """The prefix, followed by another token than this; by any if there is no other."""
        if not self.ends_word:
            return self
        others = [each for each in self.moves[-1].tokens if each != token]
        return self._of_tokens(others)

    def _of_tokens(self, followers: Sequence[int]) -> Self:
        """The prefix of `tokens`, then one of the followers if there are any."""
        plain = type(self).of_tokens(self.tokens, followers)
        return replace(plain, first_is_free=self.first_is_free)


def complete_moves(moves: Sequence[Sequence[tuple[int, int]]]) -> tuple[Moves, ...]:
    """Keep those of each state's (token, later state), ascending, that lead to the end."""
    reaches_end = [False] * len(moves) + [True]
    kept: list[Moves] = []
    for state in reversed(range(len(moves))):
        good = [(token, after) for token, after in moves[state] if reaches_end[after]]
        reaches_end[state] = bool(good)
        kept.append(Moves(tuple(token for token, _ in good), tuple(after for _, after in good)))
    return tuple(reversed(kept))
