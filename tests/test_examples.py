import runpy


def test_the_custom_backbones_of_the_example_are_extracted_and_trained_on(capsys):
    runpy.run_path("examples/custom_backbone.py", run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["python:Sequential", "python:Words"]
    assert all(line.endswith("1.00") for line in lines)
