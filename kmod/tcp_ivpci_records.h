/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Both ends of a record ring (ivpci/ring_abi.h): what is written in which order, and what is believed. Pure but
 * for the accessors, as ivpci_ring.h, and virt_mb(). The caller has a lock, and copies the bytes.
 */
#ifndef TCP_IVPCI_RECORDS_H
#define TCP_IVPCI_RECORDS_H

#include <ivpci/ring_abi.h>

enum records_answer {
	RECORDS_NONE,
	RECORDS_ONE, /* the reader: it is next. The writer: the last one is taken */
	RECORDS_LIE,
	RECORDS_UNKNOWN, /* the writer: the receiver has not said yet */
};

struct records_writer {
	struct ivpci_records *ring; /* NULL: none */
	char *data;
	__u32 size;
	__u64 produced;
	__u64 consumed; /* as last believed */
	__u64 last;	/* where the last record begins */
	__u32 watched;	/* `watch` that was answered last */
};

struct records_reader {
	struct ivpci_records *ring; /* NULL: what is unread was copied */
	const char *data;
	__u32 size;
	__u32 told;	/* want_room that was answered last */
	__u32 watching; /* `watch` as it was asked last */
	__u64 base;	/* position of `data` */
	__u64 pos;	/* of the record that is next */
	__u64 end;	/* `produced` as last believed, or `final` */
	__u32 len;	/* of the record that is next, 0: not looked at */
	__u32 seq;	/* likewise */
	__u32 done;	/* bytes of it that are read */
	bool closed;	/* `end` is final */
};

static inline __u64 records_extent(__u32 len)
{
	return sizeof(struct ivpci_record) + (((__u64)len + 7) & ~7ULL);
}

static inline struct ivpci_record *records_at(const char *data, __u32 size, __u64 offset)
{
	return (struct ivpci_record *)(data + offset % size);
}

/* ---- the sender ---- */

/* False: `consumed` cannot be. */
static inline bool records_room(struct records_writer *w, __u32 *room)
{
	__u64 consumed = smp_load_acquire(&w->ring->consumed);

	if (consumed - w->consumed > w->produced - w->consumed)
		return 0;
	w->consumed = consumed;
	*room = w->size - (__u32)(w->produced - consumed);
	return 1;
}

/* Position of the bytes of the next record, which are written before it is published. */
static inline __u64 records_next(const struct records_writer *w)
{
	return w->produced + sizeof(struct ivpci_record);
}

/* There is room for it. What comes after the barrier: records_closed(), records_signal(). */
static inline void records_publish(struct records_writer *w, __u32 len, __u32 seq)
{
	struct ivpci_record *record = records_at(w->data, w->size, w->produced);
	__u64 end = w->produced + records_extent(len);

	WRITE_ONCE(record->len, len);
	WRITE_ONCE(record->tcp_seq, seq);
	w->last = w->produced;
	WRITE_ONCE(w->produced, end);
	smp_store_release(&w->ring->produced, end);
	virt_mb();
}

static inline bool records_closed(const struct records_writer *w)
{
	return READ_ONCE(w->ring->closed);
}

/* Closed: what became of the last record. Those before it are read. */
static inline enum records_answer records_final(const struct records_writer *w)
{
	__u64 final;

	if (!smp_load_acquire(&w->ring->final_valid))
		return RECORDS_UNKNOWN;
	final = READ_ONCE(w->ring->final);
	if (final == w->produced)
		return RECORDS_ONE;
	return final == w->last ? RECORDS_NONE : RECORDS_LIE;
}

/*
 * How it is looked whether the receiver has said so, the `tries`th time. It has before anybody can count to ten, unless
 * it is stopped right there. `hurry`: the driver waits for the end of this, with all its rings.
 */
enum records_wait {
	RECORDS_SPIN,
	RECORDS_SLEEP,	 /* 50 to 100 us */
	RECORDS_GIVE_UP, /* after 5 to 10 ms in a hurry, else after 0.5 to 1 s */
};

static inline enum records_wait records_patience(int tries, bool hurry)
{
	if (tries < 1000)
		return RECORDS_SPIN;
	return tries < (hurry ? 1100 : 11000) ? RECORDS_SLEEP : RECORDS_GIVE_UP;
}

/* The reader has asked to hear of the next one: once. */
static inline bool records_signal(struct records_writer *w)
{
	__u32 watch = READ_ONCE(w->ring->watch);

	if (watch == w->watched)
		return 0;
	w->watched = watch;
	return 1;
}

/* `want` is another one each time, and not 0. Then look once more whether there is room. */
static inline void records_want_room(struct ivpci_records *ring, __u32 want)
{
	WRITE_ONCE(ring->want_room, want);
	virt_mb();
}

/* ---- the receiver ---- */

/*
 * Whether a record is next, wherever it is in the stream. `copied_seq`: TCP's next byte that is not read;
 * `rcv_nxt`: TCP's next one that has not come, as read before this. Urgent bytes move `copied_seq` past records
 * that nobody has looked at: those are next.
 */
static inline enum records_answer records_look(struct records_reader *r, __u32 copied_seq,
					       __u32 rcv_nxt)
{
	struct ivpci_record *record;
	__u64 produced;

	if (!r->closed) {
		produced = smp_load_acquire(&r->ring->produced);
		/* not less than before, and not more than fits */
		if (produced - r->end > r->size || produced - r->pos > r->size || produced % 8)
			return RECORDS_LIE;
		r->end = produced;
	}
	if (r->len)
		return RECORDS_ONE;
	if (r->pos == r->end)
		return RECORDS_NONE;
	record = records_at(r->data, r->size, r->pos - r->base);
	r->len = READ_ONCE(record->len);
	r->seq = READ_ONCE(record->tcp_seq);
	r->done = 0;
	if (!r->len || records_extent(r->len) > r->end - r->pos ||
	    (__s32)(r->seq - copied_seq) < -(__s32)IVPCI_RECORDS_AHEAD ||
	    (__s32)(r->seq - rcv_nxt) > (__s32)IVPCI_RECORDS_AHEAD) {
		r->len = 0;
		return RECORDS_LIE;
	}
	return RECORDS_ONE;
}

/* Offset in `data` of the bytes of the next record that are not read. */
static inline __u32 records_offset(const struct records_reader *r)
{
	return (r->pos - r->base + sizeof(struct ivpci_record) + r->done) % r->size;
}

static inline bool records_unread(const struct records_reader *r)
{
	return READ_ONCE(r->pos) != READ_ONCE(r->end);
}

/* `n` bytes of the next record are read. True: signal the sender, who waits for room. */
static inline bool records_take(struct records_reader *r, __u32 n)
{
	__u64 pos = r->pos + records_extent(r->len);
	__u32 want;

	r->done += n;
	if (r->done < r->len)
		return 0;
	WRITE_ONCE(r->pos, pos);
	r->len = 0;
	if (r->closed)
		return 0;
	smp_store_release(&r->ring->consumed, pos);
	virt_mb();
	want = READ_ONCE(r->ring->want_room);
	if (!want || want == r->told || READ_ONCE(r->ring->produced) - pos > r->size / 2)
		return 0;
	r->told = want;
	return 1;
}

/* The next record is signalled, once. Then look once more. */
static inline void records_watch(struct records_reader *r)
{
	if (r->closed)
		return;
	WRITE_ONCE(r->ring->watch, ++r->watching);
	virt_mb();
}

#define RECORDS_UNHEARD (~0ULL)

/*
 * The other end has signalled (`rung`), or the driver looks by itself. True: those who wait are to be told. `heard`:
 * `produced` as they were told of it last; RECORDS_UNHEARD: not since they asked. A signal may be of room only, and is
 * told even if the record was read meanwhile: who sleeps asks anew. The driver's own look tells nobody of what
 * somebody has looked at.
 */
static inline bool records_heard(const struct records_reader *r, const struct ivpci_records *ring,
				 __u64 *heard, bool rung)
{
	__u64 produced = READ_ONCE(ring->produced);

	if (produced == (rung ? READ_ONCE(*heard) : READ_ONCE(r->end)))
		return 0;
	WRITE_ONCE(*heard, produced);
	return 1;
}

/*
 * Who asks has forgotten what was heard before: a sender may answer him for a record that he has read already, and is
 * not asked again unless he hears of it. Then as records_watch().
 */
static inline void records_watch_anew(struct records_reader *r, __u64 *heard)
{
	WRITE_ONCE(*heard, RECORDS_UNHEARD);
	records_watch(r);
}

/* Nothing is read any more but what is there now. False: that was a lie, and nothing is there. */
static inline bool records_close(struct records_reader *r)
{
	__u64 produced;
	bool right;

	if (r->closed)
		return 1;
	WRITE_ONCE(r->ring->closed, 1);
	virt_mb();
	produced = READ_ONCE(r->ring->produced);
	right = produced - r->end <= r->size && produced - r->pos <= r->size && produced % 8 == 0;
	r->end = right ? produced : r->pos;
	r->closed = 1;
	WRITE_ONCE(r->ring->final, r->end);
	smp_store_release(&r->ring->final_valid, 1);
	return right;
}

/* From now on of `copy`, which has the bytes from `pos` to `end`. Closed. */
static inline void records_keep(struct records_reader *r, const char *copy)
{
	r->ring = (struct ivpci_records *)0;
	r->data = copy;
	r->base = r->pos;
	r->size = r->end > r->pos ? r->end - r->pos : 8;
}

/*
 * Bytes that are unread, of records whose place in the stream is not after `seq`; stops at `most`. After a
 * look. What does not fit is left to records_look().
 */
static inline __u32 records_count(const struct records_reader *r, __u32 seq, __u32 most)
{
	__u64 pos = r->pos;
	__u32 count = 0;

	if (r->len) {
		if ((__s32)(r->seq - seq) > 0)
			return 0;
		count = r->len - r->done;
		pos += records_extent(r->len);
	}
	while (pos != r->end && count < most) {
		struct ivpci_record *record = records_at(r->data, r->size, pos - r->base);
		__u32 len = READ_ONCE(record->len);

		if (!len || records_extent(len) > r->end - pos ||
		    (__s32)(READ_ONCE(record->tcp_seq) - seq) > 0)
			break;
		count += len;
		pos += records_extent(len);
	}
	return count;
}

#endif
