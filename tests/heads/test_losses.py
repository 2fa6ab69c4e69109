import pytest
import torch
from torch.nn import functional

from heads.losses import CrossEntropy, Deviation, LabelCrossEntropy, mixed

torch.manual_seed(0)
LOGITS, CODES = torch.randn(20, 5), torch.arange(20) % 5
INDICATOR = functional.one_hot(CODES, 5).float()


def test_focus_leaves_hard_samples_and_forgets_easy_ones():
    plain, focal = CrossEntropy()(LOGITS, CODES), CrossEntropy(focal=2.0)(LOGITS, CODES)
    chance = LOGITS.softmax(1)[torch.arange(20), CODES]
    torch.testing.assert_close(focal, plain * (1 - chance) ** 2)
    torch.testing.assert_close(plain, -chance.log())


def test_smoothing_spreads_the_target_evenly():
    soft = 0.8 * INDICATOR + 0.2 / 5
    torch.testing.assert_close(CrossEntropy(smoothing=0.2)(LOGITS, CODES), -(soft * LOGITS.log_softmax(1)).sum(1))
    both = LabelCrossEntropy(smoothing=0.2)(LOGITS, INDICATOR)
    expected = functional.binary_cross_entropy_with_logits(LOGITS, 0.8 * INDICATOR + 0.1, reduction="none").mean(1)
    torch.testing.assert_close(both, expected)


def test_a_label_s_positives_weigh_what_they_are_given():
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    chance = LOGITS.sigmoid()
    expected = -(weight * INDICATOR * chance.log() + (1 - INDICATOR) * (1 - chance).log()).mean(1)
    torch.testing.assert_close(LabelCrossEntropy(weight)(LOGITS, INDICATOR), expected)
    expected = expected * 0 - (
        weight * INDICATOR * chance.log() * (1 - chance) ** 2 + (1 - INDICATOR) * (1 - chance).log() * chance**2
    ).mean(1)
    torch.testing.assert_close(LabelCrossEntropy(weight, focal=2.0)(LOGITS, INDICATOR), expected)


@pytest.mark.parametrize("loss", [CrossEntropy(0.1, 2.0), LabelCrossEntropy(None, 0.1, 2.0), Deviation("huber")])
def test_validation_is_judged_without_what_only_helps_the_training(loss):
    plain = loss.plain()
    assert type(plain) is type(loss)
    assert getattr(plain, "smoothing", 0) == getattr(plain, "focal", 0) == 0


def test_mixup_is_a_weighted_mean_of_pairs_and_repeatable():
    features, partner, share = mixed(LOGITS, 0.4, torch.Generator().manual_seed(1))
    torch.testing.assert_close(features, share * LOGITS + (1 - share) * LOGITS[partner])
    assert sorted(partner.tolist()) == list(range(20))
    again = mixed(LOGITS, 0.4, torch.Generator().manual_seed(1))
    assert torch.equal(features, again[0])


def test_shares_are_drawn_from_the_beta_distribution():
    generator = torch.Generator().manual_seed(0)
    shares = torch.tensor([mixed(LOGITS[:2], 0.5, generator)[2] for _ in range(4000)])
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(1 / 8, abs=0.01)
