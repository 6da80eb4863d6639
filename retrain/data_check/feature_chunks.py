"""Splits the rows of a large array into chunks, which threads work on."""

_ROWS_AT_A_TIME = 4096


def row_chunks(count: int) -> list[slice]:
    """Returns slices of at most 4,096 rows that cover `count` rows."""
    return [
        slice(start, min(start + _ROWS_AT_A_TIME, count))
        for start in range(0, count, _ROWS_AT_A_TIME)
    ]
