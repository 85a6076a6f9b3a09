"""The kernel that makes stretches of one wish of a strategy's answers, apart from the engine that is asked: machine code sees this alone."""

from papertape.engine.jit import IntArray, Rows, kernel
from papertape.engine.records import FLAT, KEEP


@kernel
def gather(
    decisions: Rows,
    words: IntArray,
    at: IntArray,
    starts: IntArray,
    rows: Rows,
    row_words: IntArray,
    is_even: IntArray,
    count: int,
) -> int:
    """
    Go on with stretches by the decisions of some closes; return how many there are.

    at                the instant at which each close is known, shape (n,); words: the decisions as integers
    rows, row_words   one memory, with room for a stretch a close
    """
    for k in range(len(at)):
        target, newest = decisions[k].target, count - 1
        if count > 0 and target == rows[newest].target:
            is_same = target == KEEP
            if not is_same:
                is_same = True
                for word in range(words.shape[1]):
                    is_same = is_same and words[k, word] == row_words[newest, word]
            if not is_same and target == FLAT:
                is_even[newest] = 0
            if is_same or target == FLAT:
                continue
        for word in range(words.shape[1]):
            row_words[count, word] = words[k, word]
        starts[count] = at[k]
        is_even[count] = 1
        count += 1
    return count
