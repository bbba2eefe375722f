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

RULES_VERSION = 2
"""Version of the rules that make a diagnosis. Raise it by hand whenever the same run would be diagnosed otherwise, by a
threshold, by the rule of a cause, by a check or by the values in a sentence: diagnoses that were saved under another
version are made again. Causes that are added, removed or ranked otherwise need no new version (``saved_diagnosis``)."""

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
PULL_DRIVEN_SHARE = 0.17
"""C + P at one region, from which on the same holds. Pulled tokens need more, because a response that falls for any
reason loses some of its probability to what other pairs happen to choose."""
PUSH_X = 0.3
"""X: above it the loss is pushed; between ``PULL_X`` and this it is undecided."""
PULL_X = 0.05
"""X: below it the loss is pulled where P is at least C; else it is undecided."""
DOMINANT_PART = 0.7
"""C over C + P: above it the loss is pushed if X is not below ``PULL_X``. P over C + P: above it the loss is pulled,
whatever X is."""
OFF_POLICY_GAP = 2.0
"""Nats per token by which a rejected token is less likely than a chosen one under the reference: above it the rejected
responses are off-policy."""
NEVER_ROSE_NATS = -0.5
"""Nats: highest mean chosen change of the whole curve. At or below it the mean fell from the very beginning."""
EARLY_TRAINING_SHARE = 0.25
"""Share of the training by which the curve must have a first value, so that its highest value means anything."""
NEAR_COPY_DISTANCE = 0.22
"""Mean edit distance of the two responses of fallen pairs: below it the rejected responses are near copies."""
FAR_APART_DISTANCE = 0.34
"""Mean edit distance from which on a fall without a pattern in the data is called generic drift."""
IMPROBABLE_TOKEN = 0.005
"""Probability under the reference up to which a token that gains and that stands in no text counts as ``no_data``."""
END_OF_TEXT_SHARE = 0.5
"""Share of the lost log-prob on end-of-text tokens from which on the fall is one of length or ending."""
EARLIER_END_SHARE = 0.3
"""Share of the lost log-prob that went to an end of text. From here on, if other pairs reject the closing, responses
end earlier: that other pairs reject the tokens behind that end is then the same fact seen from the other side."""
DAMAGE_SHARE = 0.2
"""``no_data`` share of the lost log-prob at the last checkpoint, from which on the policy counts as damaged."""
UNTRACEABLE_SHARE = 0.75
"""``no_data`` share of the lost log-prob at the checkpoint used: above it the loss no longer tells its source."""
SHIFT_NATS = 0.5
"""Nats per pair that chosen responses which did not fall gained at the opening or the closing: from here on the wording
of that region moves towards what other pairs choose."""
CORE_SHIFT_NATS = 0.15
"""The same in the core. Less is enough there, because the core holds the content that the prompt asks for."""
CORE_SHIFT_DISTANCE = 0.45
"""Mean edit distance below which a shift in the core counts: responses with little in common differ in every core."""
RISEN_NATS = 0.3
"""Nats: highest mean chosen change from which on near copies alone do not explain that some responses fell."""
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
