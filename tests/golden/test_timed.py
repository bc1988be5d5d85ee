"""Words with their times, out of files that people wrote, and out of anything else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee.media.timed import DAYS, LONGEST, MOST, Transcript, sung, timed
from matinee.pipeline.tokens import LONGEST as VOCABULARY
from matinee.pipeline.tokens import vocabulary

ROLLING = """WEBVTT

00:00:01.000 --> 00:00:02.000
so we begin

00:00:02.000 --> 00:00:04.000
so we begin

00:00:04.000 --> 00:00:05.500 align:start position:0%
with <c.colour>the</c> second &amp; last
"""


@pytest.mark.parametrize(
    ("ending", "text", "lines"),
    [
        (".vtt", ROLLING, [(1.0, 4.0, "so we begin"), (4.0, 5.5, "with the second & last")]),
        (".srt", "7\n01:02:03,250 --> 01:02:04,5\n你好\n", [(3723.25, 3724.5, "你好")]),
        (".srt", "1\n00:00:05,000 --> 00:00:04,000\nbackwards\n", [(5.0, 5.0, "backwards")]),
        (".srt", "1\n00:00:09,000 --> 00:00:10,000\nlate\n\n2\n00:00:01,000 --> 00:00:02,000\nearly\n",
         [(1.0, 2.0, "early"), (9.0, 10.0, "late")]),
        (".ass", "[Events]\nDialogue: 0,0:00:01.50,0:00:03.00,Default,A,0,0,0,,{\\pos(1,2)}One,\\Ntwo\n",
         [(1.5, 3.0, "One, two")]),
        (".lrc", "[offset:+500]\n[00:10.00][00:30.00]refrain\n[00:12.00]verse\n[00:14.00]\n",
         [(9.5, 11.5, "refrain"), (11.5, 13.5, "verse"), (29.5, 34.5, "refrain")]),
        (".lrc", "no times\nat all\n", [(0.0, 0.0, "no times"), (0.0, 0.0, "at all")]),
    ],
)  # fmt: skip
def test_lines_have_the_times_that_were_written(ending, text, lines):
    assert list(timed(text, ending)) == lines


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=400), st.sampled_from([".srt", ".vtt", ".ass", ".lrc"]))
def test_any_text_gives_sensible_lines(noise, ending):
    for text in (noise, f"00:00:01,000 --> 00:00:02,000\n{noise}", f"[00:01.00]{noise}",
                 f"Dialogue: 0,0:00:01.00,9:59:59.00,x,x,0,0,0,,{noise}"):  # fmt: skip
        lines = timed(text, ending)
        assert list(lines) == sorted(lines, key=lambda line: line[0])
        for start, end, said in lines:
            assert 0 <= start <= end <= DAYS
            assert said == said.strip()
            assert 0 < len(said) <= LONGEST
            assert not {"\x1b", "\x00", "\u202e"} & set(said)


def test_a_million_lines_are_cut():
    text = "\n".join(f"{n}\n00:00:01,000 --> 00:00:02,000\nline {n}\n" for n in range(MOST + 50))
    assert len(timed(text, ".srt")) == MOST
    assert len(sung("\n".join(str(n) for n in range(MOST + 50)))) == MOST


def test_a_transcript_comes_back_from_its_fact_and_nothing_else_does():
    whole = Transcript(((1.0, 2.0, "a"), (2.0, 3.0, "b")), "lyrics", "en")
    assert Transcript.of(whole.fact()) == whole
    assert whole.text == "a\nb"
    for wrong in (None, [], {}, {"segments": "x"}, {"segments": [1, None, []]}, {"segments": []}):
        assert Transcript.of(wrong) is None


def test_a_vocabulary_holds_each_word_once_between_spaces():
    found = vocabulary(["The way, the WAY", "去公园"])
    assert found.startswith(" ")
    assert found.endswith(" ")
    assert found.split() == ["the", "way", "去公", "公园"]
    assert " wa " not in found
    assert len(vocabulary(f"word{n}" for n in range(100_000))) <= VOCABULARY + 1
    assert vocabulary([]) == vocabulary(["!?"]) == ""
