"""Every threshold of the diagnosis, with its unit and what it was fitted on; no other room holds one.

The first values are those of a rule found on 220 small runs of one SFT seed. They were fitted on the grounds of
``tests/planted`` FIT (references of seeds 1, 2), TEST (11 to 13) and HELD_OUT (21 to 23), and judged on UNSEEN (31 to
33). A number that decides a word is never taken from the run that it is used on.
"""

FALLEN = 0.3
"""Nats: a pair whose chosen response lost more than this is a fallen pair."""
ESTABLISHED = 0.2
"""Nats lost per pair, mean over all pairs of max(0, -change): below, no decline is established, no cause is named."""
READ = 0.4
"""Nats lost per pair from which on a checkpoint is read: the first that reaches it, or the last where none does."""
TOO_LATE = 6.0
"""Nats lost per pair at the checkpoint used: above, where probability came from and went blurs; earlier ones help."""
PUSHED = 0.5
"""x of a lost token, from -1 to 1: above, other pairs reject it in this context far more than choose it."""
PSEUDO = 0.05
"""Share of the pairs added to the counts below a fraction, so that a handful of pairs proves nothing."""
DATA_DRIVEN, PULL_DRIVEN = 0.12, 0.17
"""Share C + P of the lost log-prob at one place: from here on other pairs' texts account for what is lost there. A
pull alone needs more: what falls for any reason goes, in part, to what other pairs happen to choose."""
PUSH = 0.3
"""X, the mean of x over the lost log-prob: above, the loss is a push; between ``PULL`` and this it is undecided."""
PULL = 0.05
"""X: below, the loss is a pull by what other pairs choose, where no less went there than lies on what they reject; else
it is undecided."""
MOSTLY = 0.7
"""C over C + P: above, with X not below ``PULL``, the loss is a push; P over C + P: above, it is a pull, whatever X."""
OFF_POLICY = 2.0
"""Nats per token that the rejected responses are less likely than the chosen ones under the reference."""
NEVER_ROSE = -0.5
"""Nats: the highest mean chosen change over the whole curve; at or below, it fell from the very beginning."""
EARLY = 0.25
"""Share of the training by which a first value must have been seen for ``NEVER_ROSE`` to mean anything."""
NEAR = 0.22
"""Edit distance between the two responses, share of the longer one: below, rejecteds are near copies."""
FAR = 0.34
"""Edit distance from which on a fall without a pattern in the data is called generic."""
UNLIKELY = 0.005
"""Probability under the reference up to which a gaining token counts as one that nothing explains."""
AT_THE_END = 0.5
"""Share of the lost log-prob on end-of-text tokens from which on the fall is one of length or ending."""
SOONER = 0.3
"""Share of the lost log-prob that went to an end of text: from here on, where other pairs reject the closing, responses
end earlier, and that others reject what stood behind is the same thing seen from its other side."""
DAMAGE = 0.2
"""Share of the lost log-prob at the last checkpoint that went to what no text has: from here on it is damage."""
NOWHERE = 0.75
"""Share of the lost log-prob that went to what no text has: above, the loss no longer tells what drove it."""
SHIFTED, SHIFTED_CORE = 0.5, 0.15
"""Nats per pair that chosen responses which did not fall gained at the opening or closing, and in the core: from here
on the wording moves there towards what other pairs choose. A core holds what is asked: less says more there."""
ALIKE = 0.45
"""Edit distance up to which a shift in the core counts: of texts with little in common each core is another."""
RISEN = 0.3
"""Nats: the highest mean chosen change from which on near copies alone do not explain that some fell."""
CONTRADICTED, CONTRADICTED_PAIRS = 0.3, 0.05
"""Share of the lost log-prob in pairs whose chosen response another pair of the same prompt rejects, and the share of
all pairs that are so: one or two of them may carry the loss by chance."""
TURNED, TIMES = 0.28, 2.0
"""Share of the lost log-prob in pairs that others turn round, and how many times such pairs' share of all pairs."""
TURNED_NEAR, TIMES_NEAR = 0.2, 1.5
"""The same where the two responses are near copies (``NEAR``): by chance fewer of these are turned round."""
EXPECTED = (0.7, 1.3)
"""Change of both sides over what the policy's movement explains, sum KL(pi_ref || pi): between these, as expected."""
KEPT_CREDIT, KEPT_GAP = 0.95, 0.05
"""Mean size of credit_z in standard deviations, and nats per token between the sides under the reference: below both,
the responses look like the reference's own."""
OFF_LOG, DOUBT_LOG = 0.25, 0.05
"""Share of the compared values of the trainer's log that lie off, from which on the setup is, or is in doubt: of some
hundred means over small batches a few lie off by chance."""
MISENDED = 0.5
"""Share of the pairs that lack an end of text or have a mark twice, from which on the setup is off."""
CONCENTRATED = 0.6
"""Share of the lost nats on the five worst word pairs: below, groups picked from the outcome name a false culprit."""
CONFIRMED, INNOCENT, BESIDE = -1.5, -1.0, 0.25
"""Nats per unit step: one group's net effect is at or below the first, all others' are above the second, or above this
share of it: the size of an effect grows with the model, and a group of -8 beside one of -1.2 stands alone."""
INEXACT = 0.25
"""Share of a net effect by which a longer step may differ before the effect counts as not measured."""
