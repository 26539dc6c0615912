def test_x(trained, seq2seq):
    import time
    t=time.time()
    done = seq2seq("translate", trained, "--threads", "1", stdin=b"one two three .\n\nfour five .\n")
    print(done, time.time()-t)
    m = (trained/"metrics.jsonl").read_text()
    print(m[-900:])
    assert 0
