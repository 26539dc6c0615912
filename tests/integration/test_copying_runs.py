"""A run whose model has copy attention, in the commands."""


def test_a_trained_run_copies_and_says_what_it_cannot(seq2seq, train) -> None:
    command = train("attention-rnn", max_updates=3)
    done = command("--set", "model.copy_attention=true")
    assert done.code == 0, done.stderr
    folder = command.folder
    done = seq2seq("translate", command.run, "--input", "valid.en", folder=folder)
    assert (done.code, done.stdout.count(b"\n")) == (0, 20)
    assert "kernels" not in done.stderr
    done = seq2seq("translate", command.run, "-i", "valid.en", "--shortlist", folder=folder)
    assert (done.code, done.stdout) == (2, b"")
    assert "translate without --shortlist" in done.stderr
    done = seq2seq("export", command.run, "other", folder=folder)
    assert done.code == 2
    assert "model.copy_attention = true cannot be exported" in done.stderr
    assert not (folder / "other").exists()


def test_copying_between_two_vocabularies_is_refused_before_text_is_read(train) -> None:
    command = train("attention-rnn", max_updates=3)
    separate = ("--set", "data.joint_vocabulary=false")
    done = command("--set", "model.copy_attention=true", *separate, files={"--source": "nope.en"})
    assert done.code == 2
    assert "set data.joint_vocabulary = true" in done.stderr
    assert not command.run.exists()
