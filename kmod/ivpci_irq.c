// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doorbells and rings: telling a peer which DMBs to look at, and being told.
 *
 * No wakeup is lost, by the order of two stores and two loads:
 *   producer: store ring, full barrier, load looking
 *   receiver: store looking = 0, full barrier, load ring
 * Either the producer sees that the receiver stopped looking, and rings, or the receiver
 * sees the new entry (ivpci_order.h).
 */
#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include <ivshmem/protocol.h>

#include "ivpci.h"
#include "ivpci_order.h"
#include "ivpci_ring.h"
#include "ivpci_trace.h"

void ivpci_ring_doorbell(struct ivpci *ivpci, u32 slot, u32 vector)
{
	/* writel() orders it after all earlier stores */
	writel(slot << 16 | vector, ivpci->regs + IVSHMEM_REG_DOORBELL);
}

static void ivpci_wake_receiver(struct ivpci *ivpci, u32 slot)
{
	struct ivpci_ctl *ctl = ivpci_ctl(ivpci, slot);
	u32 vector = ivpci_vector(ivpci->slot, READ_ONCE(ivpci->peers[slot].vectors));
	bool looking;

	looking = ivpci_receiver_looks(&ctl->looking[vector]);
	looking |= READ_ONCE(ivpci->peers[slot].unreachable); /* it looks at intervals */
	trace_ivpci_doorbell(ivpci->number, slot, vector, looking);
	if (looking) {
		ivpci_inc(ivpci, IVPCI_DOORBELLS_SKIPPED);
		return;
	}
	ivpci_ring_doorbell(ivpci, slot, vector);
	ivpci_inc(ivpci, IVPCI_DOORBELLS_SENT);
}

/* Tells the guest in @slot to look at its DMB @index. Any context but hard irq. */
void ivpci_signal(struct ivpci *ivpci, u32 slot, u32 index)
{
	struct ivpci_pair *pair = ivpci_pair(ivpci, ivpci->slot, slot);
	struct ivpci_peer *peer = &ivpci->peers[slot];

	spin_lock_bh(&peer->producer_lock);
	if (!ivpci_ring_push(pair, &ivpci_ctl(ivpci, slot)->tail[ivpci->slot], index))
		ivpci_inc(ivpci, IVPCI_RING_OVERFLOWS);
	spin_unlock_bh(&peer->producer_lock);

	ivpci_inc(ivpci, IVPCI_SIGNALS_SENT);
	ivpci_wake_receiver(ivpci, slot);
}

/* Any context but hard irq. Returns 0, -ENETUNREACH, or -EBUSY (ring full). */
int ivpci_send_event(struct ivpci *ivpci, u32 slot, u32 code, u64 info)
{
	struct ivpci_pair *pair = ivpci_pair(ivpci, ivpci->slot, slot);
	struct ivpci_ctl *ctl = ivpci_ctl(ivpci, slot);
	struct ivpci_peer *peer = &ivpci->peers[slot];
	struct ivpci_event *event;
	u32 head;
	int rc = 0;

	if (!ivpci_peer_generation(ivpci, slot))
		return -ENETUNREACH;

	spin_lock_bh(&peer->producer_lock);
	head = READ_ONCE(pair->event_head);
	if (head - READ_ONCE(ctl->event_tail[ivpci->slot]) >= IVPCI_EVENT_RING_SIZE) {
		rc = -EBUSY;
	} else {
		event = &pair->event[head % IVPCI_EVENT_RING_SIZE];
		WRITE_ONCE(event->code, code);
		WRITE_ONCE(event->info, info);
		smp_store_release(&pair->event_head, head + 1);
	}
	spin_unlock_bh(&peer->producer_lock);
	if (rc)
		return rc;

	ivpci_inc(ivpci, IVPCI_EVENTS_SENT);
	ivpci_wake_receiver(ivpci, slot);
	return 0;
}

/* SMC has its cursors there, and would do twice what it has done. Under the lock of the writer's vector. */
static bool ivpci_dmb_moved(struct ivpci *ivpci, struct ivpci_dmb *dmb)
{
	const u64 *words = ivpci->shm + READ_ONCE(dmb->offset);
	bool moved = false;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(dmb->served); i++) {
		u64 word = READ_ONCE(words[i]);

		moved |= word != dmb->served[i];
		dmb->served[i] = word;
	}
	return moved;
}

/* A producer may only point at DMBs it is the writer of. */
static bool ivpci_serve_dmb(struct ivpci *ivpci, u32 producer, u32 index, bool rung)
{
	if (READ_ONCE(ivpci->dmbs[index].writer) != producer)
		return false;
	if (!ivpci_rings_signalled(ivpci, index, rung) &&
	    (ivpci_dmb_moved(ivpci, &ivpci->dmbs[index]) || rung))
		ivpci_client_signal(ivpci, index);
	return true;
}

static void ivpci_serve(struct ivpci *ivpci, u32 producer, u32 index)
{
	if (index >= IVPCI_DMBS)
		return;
	if (ivpci_serve_dmb(ivpci, producer, array_index_nospec(index, IVPCI_DMBS), true))
		ivpci_inc(ivpci, IVPCI_SIGNALS_RECEIVED);
}

static void ivpci_serve_all(struct ivpci *ivpci, u32 producer, int *budget)
{
	u32 index;

	ivpci_inc(ivpci, IVPCI_FULL_SCANS);
	for_each_set_bit(index, ivpci->dmb_used, IVPCI_DMBS) {
		ivpci_serve(ivpci, producer, index);
		(*budget)--;
	}
}

static bool ivpci_drain_signals(struct ivpci *ivpci, u32 producer, int *budget)
{
	struct ivpci_pair *pair = ivpci_pair(ivpci, producer, ivpci->slot);
	struct ivpci_ctl *ctl = ivpci_ctl(ivpci, ivpci->slot);
	u32 *tail = &ctl->tail[producer], *seen = &ctl->overflow_seen[producer];
	struct ivpci_ring_view view = ivpci_ring_look(pair, tail, seen);
	u32 i;

	if (ivpci_ring_idle(&view))
		return false;
	ivpci_ring_limit(&view, *budget);
	*budget -= view.to - view.from;
	for (i = view.from; i != view.to; i++)
		ivpci_serve(ivpci, producer, READ_ONCE(pair->index[i % IVPCI_RING_SIZE]));
	/* moved first: what comes while all are served is seen as new */
	ivpci_ring_served(&view, tail, seen);
	if (view.serve_all)
		ivpci_serve_all(ivpci, producer, budget);
	return true;
}

static void ivpci_serve_event(struct ivpci *ivpci, u32 producer, u64 gid, u32 code, u64 info)
{
	ivpci_inc(ivpci, IVPCI_EVENTS_RECEIVED);
	if (code == IVPCI_EVENT_PARTED) {
		ivpci_rings_lost(ivpci, producer, IVPCI_RINGS_PEER_PARTED);
		ivpci_client_peer_lost(ivpci, gid);
	} else {
		ivpci_client_event(ivpci, gid, code, info);
	}
}

/* Link groups that end, hardly ever more: as many a second as a ring holds. SMC allocates for each and
 * queues it. What is more stays in the ring, which is the peer's own trouble.
 */
static u32 ivpci_events_allowed(struct ivpci_peer *peer)
{
	if (time_after_eq(jiffies, peer->events_since + HZ)) {
		peer->events_since = jiffies;
		peer->events = 0;
	}
	return IVPCI_EVENT_RING_SIZE - peer->events;
}

static bool ivpci_drain_events(struct ivpci *ivpci, u32 producer)
{
	struct ivpci_pair *pair = ivpci_pair(ivpci, producer, ivpci->slot);
	struct ivpci_peer *peer = &ivpci->peers[producer];
	u32 *tail = &ivpci_ctl(ivpci, ivpci->slot)->event_tail[producer];
	u32 head = smp_load_acquire(&pair->event_head), i = READ_ONCE(*tail), allowed;
	u64 gid = READ_ONCE(peer->gid);
	struct ivpci_event *event;

	if (i == head)
		return false;
	if (head - i > IVPCI_EVENT_RING_SIZE) { /* a lie, or a peer that began anew */
		WRITE_ONCE(*tail, head);
		return false;
	}
	allowed = ivpci_events_allowed(peer);
	if (head - i > allowed)
		head = i + allowed; /* the rest at a later look: ivpci_member_work() */
	peer->events += head - i;
	for (; i != head; i++) {
		event = &pair->event[i % IVPCI_EVENT_RING_SIZE];
		ivpci_serve_event(ivpci, producer, gid, READ_ONCE(event->code),
				  READ_ONCE(event->info));
	}
	smp_store_release(tail, head);
	return allowed;
}

/* What may be served at one go, one full scan more. Then others have their turn: softirqs, and
 * ksoftirqd with its share of a CPU.
 */
#define IVPCI_DRAIN_BUDGET 1024

/* One look at every ring of a vector, as far as the budget goes; true if there was anything. The next
 * look begins where this one ended. vector->lock held.
 */
static bool ivpci_vector_drain(struct ivpci_vector *vector, int *budget)
{
	struct ivpci *ivpci = vector->ivpci;
	u32 slots = ivpci->layout.slots, slot, n;
	bool any = false;

	for (n = 0; n < slots; n++) {
		if (*budget <= 0)
			break;
		slot = vector->looked_at < slots ? vector->looked_at + 1 : 1;
		vector->looked_at = slot;
		if (ivpci_vector(slot, ivpci->nr_vectors) != vector->number ||
		    !ivpci_peer_generation(ivpci, slot))
			continue;
		any |= ivpci_drain_signals(ivpci, slot, budget);
		any |= ivpci_drain_events(ivpci, slot);
	}
	return any;
}

#define IVPCI_DRAIN_ROUNDS 8

static bool ivpci_vector_drain_rounds(struct ivpci_vector *vector, int *budget)
{
	unsigned int round;
	bool any = false;

	for (round = 0; round < IVPCI_DRAIN_ROUNDS; round++) {
		if (!ivpci_vector_drain(vector, budget))
			break;
		any = true;
	}
	return any;
}

/* Who waits for a notification that a member has taken out of its ring waits no longer than there are peers, in seconds. */
void ivpci_serve_next_peer(struct ivpci *ivpci)
{
	u32 slots = ivpci->layout.slots, slot = ivpci->served_last, index, n;
	struct ivpci_vector *vector;

	/* a member can have member_work run far more often */
	if (time_before(jiffies, ivpci->served_at + HZ))
		return;
	ivpci->served_at = jiffies;
	for (n = 0; n < slots; n++) {
		slot = slot < slots ? slot + 1 : 1;
		if (ivpci_peer_generation(ivpci, slot))
			break;
	}
	if (n == slots)
		return;
	ivpci->served_last = slot;
	vector = &ivpci->vectors[ivpci_vector(slot, ivpci->nr_vectors)];
	/* not beside a look of that vector: callbacks of one peer do not overlap */
	spin_lock_bh(&vector->lock);
	if (!vector->stopped)
		for_each_set_bit(index, ivpci->dmb_used, IVPCI_DMBS)
			ivpci_serve_dmb(ivpci, slot, index, false);
	spin_unlock_bh(&vector->lock);
}

static u64 ivpci_poll_most(void)
{
	return (u64)READ_ONCE(ivpci_poll_us) * NSEC_PER_USEC;
}

/* @rests: what ivpci_poll_found() or ivpci_poll_in_vain() said */
static void ivpci_poll_count(struct ivpci_vector *vector, bool rests)
{
	if (rests)
		ivpci_inc(vector->ivpci, IVPCI_POLL_RESTS);
}

static u32 *ivpci_looking(struct ivpci_vector *vector)
{
	return &ivpci_ctl(vector->ivpci, vector->ivpci->slot)->looking[vector->number];
}

static bool ivpci_vector_look(struct ivpci_vector *vector, int *budget)
{
	u64 now;

	if (!ivpci_vector_drain_rounds(vector, budget))
		return false;
	now = ktime_get_mono_fast_ns();
	if (vector->polling) {
		ivpci_inc(vector->ivpci, IVPCI_POLL_HITS);
		ivpci_poll_count(vector, ivpci_poll_found(&vector->poll, now - vector->worked_ns,
							  ivpci_poll_most()));
	}
	vector->worked_ns = now;
	WRITE_ONCE(vector->until_ns, now + ivpci_poll_window(&vector->poll, ivpci_poll_most()));
	return true;
}

/* The last look is the one that no doorbell precedes. vector->lock held. */
static void ivpci_vector_stop_looking(struct ivpci_vector *vector, int budget)
{
	ivpci_stop_looking(ivpci_looking(vector));
	if (budget <= 0 || ivpci_vector_drain(vector, &budget))
		tasklet_schedule(&vector->tasklet);
}

static void ivpci_vector_tasklet(struct tasklet_struct *t)
{
	struct ivpci_vector *vector = from_tasklet(vector, t, tasklet);
	int budget = IVPCI_DRAIN_BUDGET;
	bool poll;

	if (READ_ONCE(vector->stopped))
		return;
	spin_lock(&vector->lock);
	ivpci_poll_rung(&vector->poll);
	WRITE_ONCE(*ivpci_looking(vector), 1);
	poll = ivpci_vector_look(vector, &budget) && vector->until_ns > vector->worked_ns;
	if (!vector->polling) /* else it goes on looking */
		ivpci_vector_stop_looking(vector, budget);
	spin_unlock(&vector->lock);
	if (poll)
		wake_up_process(vector->poller);
}

/* Nobody else wants this CPU: as kvm_vcpu_can_poll() asks. */
static bool ivpci_may_poll(struct ivpci_vector *vector)
{
	return ktime_get_mono_fast_ns() < READ_ONCE(vector->until_ns) && !need_resched() &&
	       single_task_running() && !kthread_should_stop();
}

/* RCU's readers are not preempted here: grace periods wait. Then the poller yields, and looks on. */
#define IVPCI_POLL_AT_ONCE_NS (10 * NSEC_PER_MSEC)

/* Looks until the time is over or another task wants the CPU. Not preempted while it has
 * said that it looks: peers ring no doorbell then.
 */
static void ivpci_poll(struct ivpci_vector *vector)
{
	struct ivpci *ivpci = vector->ivpci;
	u64 since = ktime_get_mono_fast_ns();
	int budget;

	preempt_disable();
	spin_lock_bh(&vector->lock);
	vector->polling = true;
	WRITE_ONCE(*ivpci_looking(vector), 1);
	spin_unlock_bh(&vector->lock);

	while (ivpci_may_poll(vector) && ktime_get_mono_fast_ns() - since < IVPCI_POLL_AT_ONCE_NS) {
		ivpci_inc(ivpci, IVPCI_POLLS);
		budget = IVPCI_DRAIN_BUDGET;
		spin_lock_bh(&vector->lock);
		ivpci_vector_look(vector, &budget);
		/* SMC's tasklets, which ivpci_serve() scheduled, run here */
		spin_unlock_bh(&vector->lock);
		cpu_relax();
	}

	spin_lock_bh(&vector->lock);
	vector->polling = false;
	if (ktime_get_mono_fast_ns() >= vector->until_ns)
		ivpci_poll_count(vector, ivpci_poll_in_vain(&vector->poll));
	ivpci_vector_stop_looking(vector, IVPCI_DRAIN_BUDGET);
	spin_unlock_bh(&vector->lock);
	preempt_enable();
	ivpci_add(ivpci, IVPCI_POLL_NS, ktime_get_mono_fast_ns() - since);
}

/* A task of the lowest priority, so that it looks when the CPU would be idle otherwise, and
 * looks again when who it made way for has gone to sleep.
 */
static int ivpci_poller(void *data)
{
	struct ivpci_vector *vector = data;

	while (!kthread_should_stop()) {
		set_current_state(TASK_IDLE);
		if (ktime_get_mono_fast_ns() >= READ_ONCE(vector->until_ns) &&
		    !kthread_should_stop())
			schedule();
		__set_current_state(TASK_RUNNING);
		ivpci_poll(vector);
		/* not asleep: nobody would wake it when the CPU becomes idle */
		yield();
	}
	return 0;
}

static bool ivpci_vector_carries_data(struct ivpci_vector *vector)
{
	return vector->number != IVPCI_VECTOR_CONTROL || vector->ivpci->nr_vectors == 1;
}

static irqreturn_t ivpci_interrupt(int irq, void *data)
{
	struct ivpci_vector *vector = data;
	struct ivpci *ivpci = vector->ivpci;

	ivpci_inc(ivpci, IVPCI_INTERRUPTS);
	if (vector->number == IVPCI_VECTOR_CONTROL) {
		wake_up(&ivpci->request_wait);
		ivpci_member_kick(ivpci);
	}
	if (ivpci_vector_carries_data(vector))
		tasklet_schedule(&vector->tasklet);
	return IRQ_HANDLED;
}

void ivpci_look(struct ivpci *ivpci)
{
	unsigned int v;

	for (v = 0; v < ivpci->nr_vectors; v++)
		if (ivpci_vector_carries_data(&ivpci->vectors[v]))
			tasklet_schedule(&ivpci->vectors[v].tasklet);
}

/* What is rung after the last look belongs to nobody: the device is being taken away. */
void ivpci_irq_quiesce(struct ivpci *ivpci)
{
	unsigned int v;

	/* handlers run with the lock held */
	for (v = 0; v < ivpci->nr_vectors; v++) {
		spin_lock_bh(&ivpci->vectors[v].lock);
		spin_unlock_bh(&ivpci->vectors[v].lock);
	}
}

static int ivpci_vector_init(struct ivpci *ivpci, unsigned int number)
{
	struct ivpci_vector *vector = &ivpci->vectors[number];
	int irq = pci_irq_vector(ivpci->pdev, number), rc;

	vector->ivpci = ivpci;
	vector->number = number;
	ivpci_poll_init(&vector->poll);
	spin_lock_init(&vector->lock);
	tasklet_setup(&vector->tasklet, ivpci_vector_tasklet);
	/* runs to its first sleep: a thread that was never woken is a hung task */
	vector->poller = kthread_run(ivpci_poller, vector, "ivpci%d/%u", ivpci->number, number);
	if (IS_ERR(vector->poller))
		return PTR_ERR(vector->poller);
	set_user_nice(vector->poller, MAX_NICE);
	rc = request_irq(irq, ivpci_interrupt, 0, pci_name(ivpci->pdev), vector);
	if (rc) {
		kthread_stop(vector->poller);
		return rc;
	}
	irq_set_affinity_and_hint(irq, cpumask_of(cpumask_local_spread(number, NUMA_NO_NODE)));
	return 0;
}

static void ivpci_vector_exit(struct ivpci_vector *vector)
{
	int irq = pci_irq_vector(vector->ivpci->pdev, vector->number);

	irq_update_affinity_hint(irq, NULL);
	free_irq(irq, vector);
	/* a tasklet that finds something each time asks for itself, for as long as peers like */
	WRITE_ONCE(vector->stopped, true);
	tasklet_kill(&vector->tasklet);
	kthread_stop(vector->poller);
	/* its last look may have asked for another one, which does not wake it any more */
	tasklet_kill(&vector->tasklet);
}

int ivpci_irq_init(struct ivpci *ivpci)
{
	struct pci_dev *pdev = ivpci->pdev;
	int n, v, rc;

	n = pci_alloc_irq_vectors(pdev, 1, IVPCI_VECTORS_MAX, PCI_IRQ_MSIX);
	if (n < 0)
		return dev_err_probe(&pdev->dev, n,
				     "no MSI-X: an ivshmem-doorbell device is needed\n");
	ivpci->nr_vectors = n;
	ivpci->vectors = kcalloc(n, sizeof(*ivpci->vectors), GFP_KERNEL);
	if (!ivpci->vectors) {
		rc = -ENOMEM;
		goto free_vectors;
	}
	for (v = 0; v < n; v++) {
		rc = ivpci_vector_init(ivpci, v);
		if (rc)
			goto exit_vectors;
	}
	return 0;

exit_vectors:
	while (--v >= 0)
		ivpci_vector_exit(&ivpci->vectors[v]);
	kfree(ivpci->vectors);
free_vectors:
	pci_free_irq_vectors(pdev);
	return rc;
}

void ivpci_irq_exit(struct ivpci *ivpci)
{
	unsigned int v;

	ivpci_era_exit(ivpci);
	for (v = 0; v < ivpci->nr_vectors; v++)
		ivpci_vector_exit(&ivpci->vectors[v]);
	kfree(ivpci->vectors);
	pci_free_irq_vectors(ivpci->pdev);
}
