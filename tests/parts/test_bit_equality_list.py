"""Every test that compares bits says why it may, and the list notices one that does not."""

from tools.bit_equality import assertions, listed


def test_every_assertion_of_bit_equality_has_a_reason():
    lines, complaints = listed()
    assert lines
    assert complaints == []


def test_a_comparison_without_a_reason_and_a_reason_without_one_are_complaints(tmp_path):
    (tmp_path / "test_new.py").write_text(
        "def test_a():\n    assert torch.equal(x, y)\n\n\ndef test_b():\n    assert equal(x, y)\n"
    )
    table = tmp_path / "bit_equality.toml"
    table.write_text('[reasons]\ncopied = "Copied."\n[functions.copied]\n"test_old.py" = ["test_c"]\n[functions.alien]\n')
    lines, complaints = listed(tmp_path, table)
    assert lines == []
    assert [complaint.split(":")[0] for complaint in complaints] == ["no such kind", "test_new.py", "test_old.py"]


def test_comparisons_are_found_in_classes_and_nested_functions():
    source = (
        "class A:\n    def test_a(self):\n        def inner():\n            return path.read_bytes() == np.array_equal(x, y)\n"
    )
    assert assertions(source) == {"test_a": [4]}
