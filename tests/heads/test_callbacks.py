from heads import Callback, MLPHead


class Record(Callback):
    def __init__(self):
        self.told = []

    def on_train_begin(self, state):
        self.told.append("begin")

    def on_gradients(self, state):
        assert all(parameter.grad is not None for parameter in state.model.parameters())
        self.told.append(("gradients", state.epoch, state.step))

    def on_epoch_end(self, state):
        self.told.append(("epoch", state.epoch, len(state.history.train_loss)))

    def on_train_end(self, state):
        self.told.append("end")


def test_every_hook_is_called_in_its_turn(blobs):
    record = Record()
    head = MLPHead(hidden=4, max_epochs=2, batch_size=300, callbacks=[record]).fit(*blobs)
    assert head.callbacks_[0].told == [
        "begin",
        ("gradients", 0, 0),
        ("gradients", 0, 1),
        ("epoch", 0, 1),
        ("gradients", 1, 2),
        ("gradients", 1, 3),
        ("epoch", 1, 2),
        "end",
    ]
    assert record.told == []
