"""Sentences in arrays, which may lie in a mapped file."""

from seq2seq_cli.data.sentence_arrays import SentenceArray, Sentences


def test_a_mapped_corpus_lets_go_of_the_pages_of_each_array_that_it_has_read() -> None:
    """They would count as resident memory: opening a corpus would take as much as it has pairs."""
    events: list[str] = []
    arrays = [SentenceArray.from_sentences(each) for each in ([[4, 5], [6]], [[5]], [[5, 5, 7]])]
    sentences = Sentences.from_arrays(arrays, lambda: events.append("released"))
    assert len(events) == len(arrays)
    assert sentences.lengths.tolist() == [2, 1, 1, 3]
    assert sentences.token_counts(8).tolist() == [0, 0, 0, 0, 1, 4, 1, 1]
    assert len(events) == 2 * len(arrays)
    sentences.digest()
    assert len(events) == 3 * len(arrays)
