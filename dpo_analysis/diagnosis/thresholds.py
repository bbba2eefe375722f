"""Every threshold of the diagnosis, with its unit and the side on which a cause becomes likely.

The first values come from a rule that was found on 220 small runs of one SFT seed. They were then fitted on the planted
runs FIT (references of seeds 1 and 2), TEST (11 to 13) and HELD_OUT (21 to 23) of ``tests/planted``, and judged once on
UNSEEN (31 to 33). No threshold is computed from the run that it judges, so the same numbers mean the same on every run.

Symbols: r and c count the other pairs that reject or choose a token behind the same previous token; x = (r - c) / (r +
c + K) of a lost token, from -1 to 1, where 0 says nothing; X is the mean of x over the lost log-prob; C and P are the
shares of the lost log-prob that are pushed and pulled (``ledger.SHARES``). "Lost" is max(0, -change) of a chosen
response's log-prob against the reference, in nats. An edit distance is counted in tokens and divided by the length of
the longer response: 0 for equal responses, 1 for unlike ones.
"""

RULES_VERSION = 6
"""Version of the rules that make a diagnosis. Raise it by hand whenever the same run would be diagnosed otherwise, by a
threshold, by the rule of a cause, by a check or by the values in a sentence: diagnoses that were saved under another
version are made again. Causes that are added, removed or ranked otherwise need no new version (``saved_diagnosis``)."""

TYPICAL_TOKENS = 30
"""Tokens of a response for which the next four numbers hold. They grow with the square root of the number of tokens, as
a sum of changes does that have nothing to do with each other: four times for a response of 480 tokens."""
FALLEN_PAIR_NATS = 0.3
"""Nats: a pair whose chosen response lost more than this is a fallen pair."""
ESTABLISHED_NATS = 0.2
"""Nats lost per pair, mean over all pairs: below it no decline is established, and no cause is named."""
READABLE_NATS = 0.4
"""Nats lost per pair from which on the ledger can be read. The first checkpoint that reaches it is read, or the last
where none does: after a collapse every response falls, and the source of the loss blurs."""
TOO_LATE_NATS = 6.0
"""Nats lost per pair at the checkpoint used: above it the source of the loss has blurred, and the diagnosis asks for
earlier checkpoints."""
PUSHED_TOKEN_X = 0.5
"""x of a lost token: above it other pairs reject the token in this context far more than they choose it."""
PSEUDO_COUNT_SHARE = 0.05
"""Share of the counted pairs that K is. K in the denominator of x keeps a token that a handful of pairs reject from
counting as one that the data rejects."""
DATA_DRIVEN_SHARE = 0.12
"""Pushed share C of the lost log-prob at one region: from here on the texts of other pairs account for its loss."""
PULL_DRIVEN_SHARE = 0.15
"""Pulled share P at one region, from which on the same holds. Pulled tokens need more, because a response that falls
for any reason loses some of its probability to what other pairs happen to choose."""
PUSH_X = 0.3
"""X: above it the loss is pushed; between ``PULL_X`` and this it is undecided."""
PULL_X = 0.05
"""X: below it the loss is pulled where P is at least C; else it is undecided."""
DOMINANT_TIMES = 2.0
"""Ratio of the excess of C over chance to that of P, above which the loss at a region is pushed whatever X is; the
other way round it is pulled."""
OFF_POLICY_GAP = 2.0
"""Nats per token by which a rejected token is less likely than a chosen one under the reference: above it the rejected
responses are off-policy."""
NEVER_ROSE_NATS_PER_TOKEN = -0.015
"""Nats per token: highest mean chosen change of the whole curve over the tokens of a chosen response. At or below it
the mean fell from the very beginning."""
EARLY_TRAINING_SHARE = 0.25
"""Share of the training by which the curve must have a first value, so that its highest value means anything."""
NEAR_COPY_DISTANCE = 0.22
"""Median edit distance of the two responses of pairs that fell: below it the rejected responses are near copies."""
FAR_APART_DISTANCE = 0.34
"""Mean edit distance from which on a fall without a pattern in the data is possibly a generic drift."""
NEAR_DUPLICATE_DISTANCE = 0.1
"""Jaccard distance of the bigrams of two responses, from 0 to 1: up to it, on both sides, two pairs are near duplicates
and count once. A response of forty tokens may differ in two places, one of thirty in a single place or not at all."""
IMPROBABLE_TOKEN = 0.005
"""Probability under the reference up to which a token that gains and that stands in no text counts as ``no_data``."""
END_OF_TEXT_SHARE = 0.5
"""Share of the lost log-prob on end-of-text tokens from which on the fall is one of length or ending."""
EARLIER_END_SHARE = 0.3
"""Share of the lost log-prob that went to an end of text. From here on, if other pairs reject the closing, responses
end earlier: that other pairs reject the tokens behind that end is then the same fact seen from the other side."""
UNTRACEABLE_SHARE = 0.75
"""``no_data`` share of the lost log-prob at the checkpoint used: above it the loss no longer tells its source."""
GAIN_NATS_PER_TOKEN = 0.02
"""Nats per token that chosen responses which did not fall gained in a region, measured on other tokens than those that
select them: from here on the wording of that region moves towards what other pairs choose."""
SHIFT_TIMES = 0.5
"""That gain over what a token of a chosen response that fell lost, from which on the movement of the wording by itself
names a cause."""
END_GAIN_NATS = 0.4
"""Nats that the end of text gained in chosen responses which did not fall: from here on responses end earlier."""
CHANCE_EXCESS = 0.05
"""Share of the lost log-prob by which a share must exceed the upper end of what random labels give."""
PULL_ALONE_EXCESS = 0.08
"""The same of P at a region in which the responses that did not fall gained nothing."""
TRACED_EXCESS = 0.03
"""The same of any share, from which on near copies alone do not explain the fall."""
CORE_SHIFT_DISTANCE = 0.45
"""Mean edit distance below which a shift in the core counts: responses with little in common differ in every core."""
NEAR_COPY_NATS_PER_TOKEN = 0.01
"""Nats per token that chosen responses lost by the last checkpoint, below which near copies explain nothing: sound runs
lose as much."""
CONTRADICTED_LOSS_SHARE = 0.3
"""Share of the lost log-prob in pairs that another pair of the same prompt labels the other way round."""
CONTRADICTED_PAIR_SHARE = 0.05
"""Share of all pairs that are contradicted so; both shares must be reached, since one or two contradicted pairs may
carry a large part of the loss by chance."""
REVERSED_LOSS_SHARE = 0.28
"""Share of the lost log-prob in pairs whose label other pairs oppose (``flipped_labels``)."""
REVERSED_TIMES = 2.0
"""Ratio that ``REVERSED_LOSS_SHARE``'s share of the loss must have to the share of such pairs among all pairs."""
NEAR_COPY_REVERSED_LOSS_SHARE = 0.2
"""``REVERSED_LOSS_SHARE`` where the two responses are near copies: fewer of those are opposed by chance."""
NEAR_COPY_REVERSED_TIMES = 1.5
"""``REVERSED_TIMES`` where the two responses are near copies."""
EXPECTED_RATIO = (0.7, 1.3)
"""Change of both sides over what the policy's movement explains, -2 sum KL(pi_ref || pi): as expected between these."""
REFERENCE_LIKE_CREDIT = 0.95
"""Mean |credit_z|, standard deviations: below it the responses look like answers of the reference."""
REFERENCE_LIKE_GAP = 0.05
"""Nats per token between the two sides under the reference: below it, too, both look like answers of the reference."""
LOG_MISMATCH_SHARE = 0.25
"""Share of the compared values of the trainer's log that differ, from which on the setup is wrong."""
LOG_DOUBT_SHARE = 0.05
"""The same share from which on the setup is in doubt: of some hundred means over small batches a few differ by
chance."""
BAD_ENDING_SHARE = 0.5
"""Share of the pairs that lack an end of text or have a mark twice, from which on the setup is wrong."""
TRUNCATED_SHARE = 0.5
"""Share of the pairs of which a response was cut at max_length, from which on the setup is wrong: the chosen reward of
most pairs is then that of a beginning."""
TRUNCATED_DOUBT_SHARE = 0.1
"""The same share from which on the setup is in doubt: what a tenth of the pairs lacks moves every mean."""
CONCENTRATED_SHARE = 0.6
"""Share of the lost nats on the five bigrams that lost most. Below it no influence is measured: a group that is picked
from an outcome spread over many bigrams looks guilty by chance."""
CONFIRMED_EFFECT = -1.5
"""Nats per unit step: at or below it the net effect of one group pushes the targets down."""
INNOCENT_EFFECT = -1.0
"""Nats per unit step: the net effects of all other groups must lie above this, or above ``RIVAL_EFFECT_SHARE``."""
RIVAL_EFFECT_SHARE = 0.25
"""Share of the lowest net effect that the others must lie above, where that is below ``INNOCENT_EFFECT``. Effects grow
with the model: a group of -8 beside one of -1.2 still stands alone."""
INEXACT_SHARE = 0.25
"""Share of a net effect by which it may differ at a longer step before it counts as not measured."""
ENOUGH_FALLEN_PAIRS = 30
"""Fallen pairs below which no cause of a fall is likely: shares of fewer pairs have intervals too wide to rule out
chance."""
UNMOVED_NATS_PER_TOKEN = 0.001
"""Nats per token: where the median change of both sides is smaller, nothing moved. A thousandth of a token's
probability is beyond what any training aims at and above the rounding of float32."""
LOW_LEARNING_RATE = 1e-7
"""Highest logged learning rate below which it explains that nothing moved: a fifth of the lowest rate that the public
runs below used (5e-7)."""
MEMORISED_ACCURACY = 0.9
"""Accuracy on the training pairs from which on they count as won."""
HELD_OUT_ACCURACY = 0.6
"""Accuracy on held-out pairs below which they count as not won; 0.5 is chance."""
ORDINARY_NATS_PER_TOKEN = 0.05
"""Nats per token that chosen responses lose at most in an ordinary fall."""
ORDINARY_REJECTED_TIMES = 1.1
"""Ratio of the rejected responses' loss per token to the chosen responses' from which on a fall is ordinary. Among the
18 public runs whose chosen reward ended below 0 the ratio of the two rewards was 1.13 to 6.4, median 1.5."""
PUBLIC_RUNS = 20
"""Runs whose model cards on the Hugging Face Hub state the final evaluation of TRL's DPOTrainer: 0.5B to 8B parameters,
full and LoRA, learning rates 5e-7 and 5e-6, a convenience sample."""
PUBLIC_RUNS_BELOW = 18
"""Of these, runs that end with the chosen reward below 0, the reference's. In all 18 the rejected reward ends lower
still. The median chosen reward of the 20 is -1.0, the rejected one -2.0, the accuracy 73 %."""
SWAPPED_ACCURACY = 0.33
"""Share of won training pairs: where its whole interval lies below this, chosen and rejected look swapped. Training
without any effect wins one half, and runs with 30 % of the labels flipped still win more than one half."""
SWAPPED_DOUBT_ACCURACY = 0.45
"""The same share below which chosen and rejected are possibly swapped, or a large part of the labels is flipped."""
SWAPPED_PAIRS = 30
"""Pairs that the policy must have moved before a share of won pairs says that the columns are swapped."""
SAME_REJECTED_SHARE = 0.5
"""Share of the training pairs with one rejected text, or with one beginning of it, from which on that text explains the
fall."""
SAME_REJECTED_PAIRS = 30
"""Training pairs below which a repeated rejected text says nothing."""
SAME_START_TOKENS = 8
"""Tokens that two rejected responses must share from their start to count as nearly the same."""
ENOUGH_READ_PAIRS = 15
"""Fallen pairs at the checkpoint used below which nothing that was read there is likely, however many fell later."""
ENOUGH_GROUPS = 2
"""Prompts behind a finding at the least: pairs of a single prompt may share anything."""
PLACE_LOSS_SHARE = 0.1
"""Share of the lost log-prob at one region below which nothing about that region is likely."""
GREW_SINCE_TIMES = 20.0
"""Ratio of the loss at the checkpoint shown to the loss at the checkpoint used, above which what was read does not
explain the fall, unless the checkpoint shown says the same."""
CONFIRMED_SHARE = 0.25
"""Share of the loss at the checkpoint shown that a finding must account for there, if it is to explain a fall that grew
so much."""
CONFIDENT_MARGIN = 0.5
"""Share of the median |margin| of the training pairs, above which the policy orders a pair with confidence."""
WRONG_SHARE = 0.1
"""Share of the confidently ordered training pairs that are ordered wrongly, lower end of its interval, from which on a
share of the labels may be flipped. With 30 % of the labels flipped it is .18 to .23, without 0 to .012 (seven runs)."""
WRONG_PAIRS = 20
"""Wrongly ordered training pairs below which nothing is said about their labels."""
WRONG_OPPOSED_SHARE = 0.5
"""Share of the wrongly ordered pairs whose label more other pairs oppose than support, from which on labels look
flipped: .87 to .92 with 30 % of the labels flipped."""
WRONG_OPPOSED_TIMES = 2.0
"""Ratio of that share to the same share of the rightly ordered pairs, .06 to .18 in all seven runs. In a run that
merely learned little the two shares are alike."""
CALM_SLIP_CHANCE = 0.15
"""Chance of a slip (``outcome.harm_signs``) below which a change is harmless: of the checkpoints of twelve test runs
below it none lost more than 6 points of greedy accuracy."""
DAMAGE_SLIP_CHANCE = 0.3
"""Chance of a slip from which on it is a sign of damage: of the same checkpoints all above it lost 6 points or more."""
CALM_ENTROPY_CHANGE = 0.1
"""Relative change of the entropy of the next token below which it is steady."""
DAMAGE_ENTROPY_CHANGE = 0.25
"""The same change from which on it is a sign of damage: upwards the text breaks, downwards every reply is the same."""
DAMAGE_TOP_MASS_LOST = 0.01
"""Share of the mass of the likeliest tokens that is lost, from which on it is a sign of damage."""
DAMAGE_KEPT_MASS = 0.25
"""Kept mass of the reference's samples, at or below which it is a sign of damage."""
CALM_NATS_PER_TOKEN = 0.02
"""Nats per token that the chosen responses may lose where a run without evidence is called harmless."""
DAMAGE_NATS_PER_TOKEN = 0.1
"""Nats per token that the chosen responses lost, from which on it is a sign of damage."""
DAMAGE_SIGNS = 2
"""Signs of damage that must be present."""
HARD_NATS_PER_TOKEN = 0.04
"""Nats per token that chosen responses lost by the last checkpoint, mean over all pairs, from which on a fall is hard:
the learning rate or the number of steps was too high. Sound runs of FIT stay below."""
RUINED_NATS_PER_TOKEN = 0.15
"""The same loss from which on neither near copies nor what other pairs choose explain it. Planted near copies and pulls
of FIT that count lost at most .12."""
HARD_FALLEN_SHARE = 0.8
"""Share of the pairs that must be fallen by then: where a part of the data makes the rest fall, more pairs stay."""
ALIKE_TIMES = 1.15
"""Ratio of the rejected responses' mean change to that of the chosen ones, below which both fell alike, as answers of
the reference do whichever of them is labelled chosen."""
