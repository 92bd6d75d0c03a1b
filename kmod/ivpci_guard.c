// SPDX-License-Identifier: GPL-2.0-only
/*
 * Noticing that a member wrote into the header, which only the broker may and QEMU cannot
 * forbid. What can be known for sure is looked at: the region's identity, and our own slot's
 * state, generation and GID, which change at our own request only. While they are wrong, and for a
 * while after the broker has put them right, nothing new is put into the region: new
 * connections are TCP. What is under way goes on, it does not depend on these words.
 */
#include "ivpci.h"
#include "ivpci_identity.h"

#define IVPCI_DISTRUST (5 * HZ)

/* What is not as we read it when we joined, in @generation; NULL: all is. Or the broker took the slot away, or
 * what we read was a lie: see ivpci_evicted().
 */
static const char *ivpci_wrong_word_of_slot(struct ivpci *ivpci, u32 generation)
{
	struct ivpci_slot *own = &ivpci_header(ivpci)->slot[ivpci->slot];

	if (smp_load_acquire(&own->state) != IVPCI_SLOT_LIVE)
		return "state of our slot";
	if ((READ_ONCE(own->generation) & IVPCI_GENERATION_MASK) != generation)
		return "generation of our slot";
	if (READ_ONCE(own->gid) != ivpci->gid)
		return "GID of our slot";
	return NULL;
}

bool ivpci_slot_is_ours(struct ivpci *ivpci)
{
	return !ivpci_wrong_word_of_slot(ivpci, ivpci->generation);
}

static const char *ivpci_wrong_word(struct ivpci *ivpci)
{
	const char *name = ivpci_identity_differs(&ivpci->identity, ivpci_header(ivpci));
	u32 generation = READ_ONCE(ivpci->generation);

	return name || !generation ? name : ivpci_wrong_word_of_slot(ivpci, generation);
}

/* Called wherever membership is looked at, with peer_lock held. */
void ivpci_guard_look(struct ivpci *ivpci)
{
	const char *name = ivpci_wrong_word(ivpci);

	lockdep_assert_held(&ivpci->peer_lock);

	if (name) {
		ivpci->trust_after = jiffies + IVPCI_DISTRUST;
		if (ivpci->distrusted)
			return;
		WRITE_ONCE(ivpci->distrusted, true);
		ivpci_inc(ivpci, IVPCI_HEADER_TAMPERED);
		dev_warn_ratelimited(&ivpci->pdev->dev,
				     "a member wrote into the region's header (%s): new "
				     "connections are TCP until it is right again\n",
				     name);
	} else if (ivpci->distrusted && time_after(jiffies, ivpci->trust_after)) {
		WRITE_ONCE(ivpci->distrusted, false);
		dev_info_ratelimited(&ivpci->pdev->dev, "the region's header is right again\n");
	}
}
