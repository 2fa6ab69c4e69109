import numpy as np
import pyarrow as pa

from pipelines.report.record import Predictions, _read_predictions

TABLE = {"id": ["1", "2"], "label": ["a", "b"], "predicted": ["b", "a"]}


def test_an_answer_is_as_sure_as_its_own_class_even_where_a_threshold_chose_it():
    table = pa.table(TABLE | {"probability:a": [0.7, 0.9], "probability:b": [0.3, 0.1]})
    found = _read_predictions(table)
    assert found.classes == ["a", "b"]
    assert found.sureness.tolist() == [0.3, 0.9]


def test_without_probabilities_and_of_several_labels_there_is_no_one_probability():
    assert _read_predictions(pa.table(TABLE)).sureness is None
    assert Predictions(["1"], [["a"]], [["a", "b"]], np.array([[0.9, 0.8]]), ["a", "b"]).sureness is None
