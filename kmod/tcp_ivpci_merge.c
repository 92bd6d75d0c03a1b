// SPDX-License-Identifier: GPL-2.0-only
/*
 * What comes by the ring and by TCP, as one stream (tests/model/direct.pml). Under ts->reading, which nobody
 * is in TCP's recvmsg() without:
 *
 *   1. what TCP has received is read, then, after a barrier, the ring. A record is visible before any later byte
 *      of TCP leaves its sender: if there is none, what has come by TCP up to then comes first.
 *   2. A record at TCP's next byte is read now. For one further on, TCP is read up to there.
 */
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/pipe_fs_i.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/splice.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <net/inet_common.h>

#include "compat/net.h"
#include "tcp_ivpci.h"

/* What is next. */
struct tcp_ivpci_next {
	bool ended;  /* was, before all else was looked at */
	bool record; /* a record is, */
	bool hole; /* or the urgent byte, which has come: recv() goes over it, splice() ends there; */
	u32 by_tcp; /* or, behind that, so many bytes of TCP's, a FIN counting one */
	u32 copied_seq;
	u32 rcv_nxt;
};

bool tcp_ivpci_ended(const struct sock *sk)
{
	return READ_ONCE(sk->sk_err) || (READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN) ||
	       READ_ONCE(sk->sk_state) == TCP_CLOSE;
}

/* The urgent byte has that place in TCP's stream. */
static bool tcp_ivpci_is_mark(const struct sock *sk, u32 seq)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	return unlikely(READ_ONCE(tp->urg_data)) && READ_ONCE(tp->urg_seq) == seq;
}

/* Reading goes over it. */
static bool tcp_ivpci_at_hole(const struct sock *sk, u32 copied_seq)
{
	return tcp_ivpci_is_mark(sk, copied_seq) && !sock_flag(sk, SOCK_URGINLINE);
}

bool tcp_ivpci_at_mark(const struct sock *sk)
{
	return tcp_ivpci_is_mark(sk, READ_ONCE(tcp_sk(sk)->copied_seq));
}

/*
 * A record may be so far ahead of what has come by TCP only because that was asked long ago: it is asked once
 * more before it is called a lie.
 */
static enum records_answer tcp_ivpci_records_look(struct sock *sk, struct records_reader *reader,
						  u32 copied_seq, u32 rcv_nxt)
{
	enum records_answer answer = records_look(reader, copied_seq, rcv_nxt);

	if (unlikely(answer == RECORDS_LIE)) {
		smp_rmb();
		answer = records_look(reader, copied_seq, READ_ONCE(tcp_sk(sk)->rcv_nxt));
	}
	return answer;
}

/* Under `looking`. False: a lie. */
static bool tcp_ivpci_look_next(struct tcp_ivpci_sock *ts, struct tcp_ivpci_next *next)
{
	struct sock *sk = ts->sk;
	const struct tcp_sock *tp = tcp_sk(sk);
	enum records_answer answer;
	u32 rcv_nxt, limit;

	next->ended = tcp_ivpci_ended(sk);
	do { /* a second urgent byte that comes has TCP pass over the first one by itself */
		next->copied_seq = READ_ONCE(tp->copied_seq);
		smp_rmb(); /* the end, and where reading is, come after all bytes */
		rcv_nxt = READ_ONCE(tp->rcv_nxt);
		next->hole = tcp_ivpci_at_hole(sk, next->copied_seq);
		virt_rmb(); /* the ring after what has come by TCP */
	} while (next->copied_seq != READ_ONCE(tp->copied_seq));
	next->rcv_nxt = rcv_nxt;
	answer = tcp_ivpci_records_look(sk, &ts->reader, next->copied_seq, rcv_nxt);
	if (answer == RECORDS_LIE)
		return false;
	/* which TCP may have gone past */
	next->record = answer == RECORDS_ONE && !after(ts->reader.seq, next->copied_seq);
	limit = rcv_nxt;
	if (answer == RECORDS_ONE && before(ts->reader.seq, limit))
		limit = ts->reader.seq;
	next->by_tcp = next->record ? 0 : limit - next->copied_seq;
	next->hole = next->hole && next->by_tcp;
	next->by_tcp -= next->hole;
	return true;
}

/*
 * As tcp_recvmsg(), and tcp_check_urg() for a second one: the urgent byte at `seq`, which has come, is read by nobody, and
 * nothing of it stays that close() would find unread. Under ts->reading, and no record is before it.
 */
static void tcp_ivpci_go_over(struct sock *sk, u32 seq)
{
	struct tcp_sock *tp = tcp_sk(sk);
	struct sk_buff *skb;
	bool fin;

	lock_sock(sk);
	if (tp->copied_seq == seq && tcp_ivpci_at_hole(sk, seq)) {
		WRITE_ONCE(tp->copied_seq, seq + 1);
		WRITE_ONCE(tp->urg_data, 0);
		tcp_fast_path_check(sk);
		skb = skb_peek(&sk->sk_receive_queue);
		fin = skb && (TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN);
		if (skb && !before(seq + 1 + fin, TCP_SKB_CB(skb)->end_seq)) {
			WRITE_ONCE(tp->copied_seq, seq + 1 + fin);
			__skb_unlink(skb, &sk->sk_receive_queue);
			__kfree_skb(skb);
		}
	}
	release_sock(sk);
}

static size_t tcp_ivpci_copy_out(const struct records_reader *reader, u32 offset, size_t len,
				 struct msghdr *msg, int flags)
{
	size_t first = min_t(size_t, len, reader->size - offset);
	size_t got;

	if (flags & MSG_TRUNC)
		return len;
	pagefault_disable();
	got = copy_to_iter(reader->data + offset, first, &msg->msg_iter);
	if (got == first && len > first)
		got += copy_to_iter(reader->data, len - first, &msg->msg_iter);
	pagefault_enable();
	return got;
}

/* Under `looking`, a record is next: as many as there are, or part of one. */
static int tcp_ivpci_take_records(struct tcp_ivpci_sock *ts, struct msghdr *msg, size_t len,
				  int flags, struct tcp_ivpci_next *next, bool *fault)
{
	struct records_reader *reader = &ts->reader;
	int copied = 0;
	int records;

	/* others wait for us: not for as long as the other end sends more */
	for (records = 0; next->record && copied < len && records < 256; records++) {
		size_t want = min_t(size_t, len - copied, reader->len - reader->done);
		size_t got = tcp_ivpci_copy_out(reader, records_offset(reader), want, msg, flags);

		copied += got;
		if (got && records_take(reader, got)) {
			ts->flow.room_signals++;
			tcp_ivpci_signal(ts);
		}
		if (got < want) {
			*fault = !copied;
			break;
		}
		if (reader->len)
			break;
		if (!tcp_ivpci_look_next(ts, next)) {
			tcp_ivpci_lied(ts);
			break;
		}
	}
	if (unlikely(READ_ONCE(ts->lowered)))
		tcp_ivpci_lower(ts);
	sk_peek_offset_bwd(ts->sk, copied);
	ts->flow.ring_received += copied;
	return copied || !len ? copied : -EFAULT;
}

void tcp_ivpci_watch(struct tcp_ivpci_sock *ts)
{
	records_watch_anew(&ts->reader, &ts->heard);
}

/*
 * All has been read: those who hear of more without asking anew (epoll, io_uring, who sleeps) are told of
 * the next record. Nobody else is, since he looks before he sleeps. @found: something, or an error, and so more may be
 * found; if not, and something is next now, then somebody else has looked, who was told of it in their place.
 */
static void tcp_ivpci_hear_of_more(struct tcp_ivpci_sock *ts, bool found)
{
	struct records_reader *reader = &ts->reader;
	struct sock *sk = ts->sk;
	struct tcp_ivpci_next next;
	bool came = false;
	bool waited;

	rcu_read_lock();
	waited = skwq_has_sleeper(rcu_dereference(sk->sk_wq));
	rcu_read_unlock();
	if (!waited)
		return;
	mutex_lock(&ts->looking);
	if (!records_unread(reader)) {
		tcp_ivpci_watch(ts);
		if (tcp_ivpci_look_next(ts, &next))
			came = records_unread(reader);
		else
			tcp_ivpci_lied(ts);
	} else if (!found) {
		/* an urgent byte that a signal keeps this thread from: io_uring would ask again for ever */
		came = tcp_ivpci_look_next(ts, &next) &&
		       (next.record || (next.hole && !task_sigpending(current)));
	}
	mutex_unlock(&ts->looking);
	if (came) /* nobody signalled that */
		sk->sk_data_ready(sk);
}

/* TCP_INQ: what TCP has is not all, tcp_ivpci_tell_unread() says that. Timestamps are not told with it. */
static int tcp_ivpci_by_tcp(struct sock *sk, struct msghdr *msg, size_t len, int flags)
{
	size_t length = msg->msg_controllen;
	unsigned int told = msg->msg_flags;
	bool quiet = tcp_sk(sk)->recvmsg_inq;
	int rc;

	flags |= MSG_DONTWAIT;
	if (quiet)
		msg->msg_controllen = 0;
	rc = tcp_prot.recvmsg(sk, msg, len, flags COMPAT_RECVMSG_NO_NAME);
	if (quiet) {
		msg->msg_controllen = length;
		msg->msg_flags = told;
	}
	return rc;
}

/* What has been looked at: so many bytes; of TCP's, up to where; the record that is next; bytes to pass over. */
struct tcp_ivpci_peek {
	struct records_reader at;
	u32 seq;
	u32 skip;
	int copied;
	u32 copied_seq; /* TCP's, when it began */
};

/* Under `looking`: records that are next, one after the other. Nothing of it is said to anybody. */
static void tcp_ivpci_peek_records(struct tcp_ivpci_peek *peek, struct sock *sk, u32 rcv_nxt,
				   struct msghdr *msg, size_t len, int flags, bool *fault)
{
	struct records_reader *at = &peek->at;
	/* which has come */
	u32 hole = before(peek->seq, rcv_nxt) && tcp_ivpci_at_hole(sk, peek->seq);

	at->closed = true; /* as of now */
	while (peek->copied < len &&
	       tcp_ivpci_records_look(sk, at, peek->seq, rcv_nxt) == RECORDS_ONE &&
	       !after(at->seq, peek->seq + hole)) {
		u32 left = at->len - at->done, over;
		size_t want, got;

		if (after(at->seq, peek->seq)) { /* behind the urgent byte, */
			if (peek->copied)
				break;
			/* over which goes a peek that begins there, and one that begins further on counts it */
			peek->seq++;
			hole = 0;
			if (peek->skip)
				peek->skip--;
		}
		over = min(left, peek->skip);
		want = min_t(size_t, len - peek->copied, left - over);
		peek->skip -= over;
		at->done += over;
		got = want ? tcp_ivpci_copy_out(at, records_offset(at), want, msg, flags) : 0;
		peek->copied += got;
		at->done += got;
		*fault = got < want;
		if (*fault || at->done < at->len)
			break;
		at->pos += records_extent(at->len);
		at->len = 0;
	}
}

/* Behind them, up to the next record. False: there is no more to look at. */
static bool tcp_ivpci_peek_tcp(struct tcp_ivpci_peek *peek, struct sock *sk, u32 rcv_nxt,
			       struct msghdr *msg, size_t len, int flags, int *rc)
{
	u32 copied_seq = READ_ONCE(tcp_sk(sk)->copied_seq);
	u32 limit = peek->at.len && before(peek->at.seq, rcv_nxt) ? peek->at.seq : rcv_nxt;
	u32 there = limit - peek->seq;
	u32 asked, over = 0, mark = peek->seq + peek->skip;
	int offset;

	/* TCP goes over the urgent byte where it begins; one that begins further on counts it */
	if (there > peek->skip && tcp_ivpci_at_hole(sk, mark))
		over = 1;
	there -= over;
	/* the urgent byte may be known of, and gone over for a record behind it, before it has come */
	if (peek->copied >= len || !there || before(limit, peek->seq))
		return false;
	/* before the urgent byte; or a second one came, for which TCP goes over the first by itself */
	if (peek->copied && (tcp_ivpci_is_mark(sk, peek->seq) || peek->copied_seq != copied_seq))
		return false;
	if (there <= peek->skip) {
		peek->skip -= there;
		peek->seq = limit;
		return true;
	}
	offset = peek->seq - copied_seq + peek->skip;
	/* TCP looks from where SO_PEEK_OFF says, on kernels that have that for it */
	if (offset > 0 && !inet_stream_ops.set_peek_off)
		return false;
	if (offset > 0)
		WRITE_ONCE(sk->sk_peek_off, offset);
	asked = min_t(size_t, len - peek->copied, there - peek->skip);
	*rc = tcp_ivpci_by_tcp(sk, msg, asked, flags);
	if (*rc <= 0)
		return false;
	peek->copied += *rc;
	peek->seq += peek->skip + over + *rc;
	peek->skip = 0;
	/* or it ended before the urgent byte, or a second one came */
	return *rc == asked && (!over || tcp_ivpci_is_mark(sk, mark));
}

static void tcp_ivpci_peek_begin(struct tcp_ivpci_peek *peek, struct tcp_ivpci_sock *ts, int offset)
{
	u32 copied_seq = READ_ONCE(tcp_sk(ts->sk)->copied_seq);

	*peek = (struct tcp_ivpci_peek){
		.at = ts->reader,
		.seq = copied_seq,
		.skip = max(offset, 0),
		.copied_seq = copied_seq,
	};
}

/* Records and bytes of TCP, as they would be read. `whole`: not if a page is not at hand. */
static int tcp_ivpci_peek(struct tcp_ivpci_sock *ts, struct msghdr *msg, size_t len, int flags,
			  struct tcp_ivpci_next *next, bool whole, bool *fault)
{
	struct sock *sk = ts->sk;
	int had = READ_ONCE(sk->sk_peek_off);
	struct tcp_ivpci_peek peek;
	int rc = -EAGAIN;

	tcp_ivpci_peek_begin(&peek, ts, had);
	if (had >= 0 && inet_stream_ops.set_peek_off)
		WRITE_ONCE(sk->sk_peek_off, 0);
	for (;;) {
		tcp_ivpci_peek_records(&peek, sk, next->rcv_nxt, msg, len, flags, fault);
		mutex_unlock(&ts->looking);
		if (*fault || !tcp_ivpci_peek_tcp(&peek, sk, next->rcv_nxt, msg, len, flags, &rc))
			break;
		mutex_lock(&ts->looking);
		if (peek.at.data == ts->reader.data)
			continue;
		if (peek.copied) { /* given back meanwhile */
			mutex_unlock(&ts->looking);
			break;
		}
		tcp_ivpci_peek_begin(&peek, ts, had);
	}
	if (*fault && whole) {
		iov_iter_revert(&msg->msg_iter, peek.copied);
		peek.copied = 0;
		rc = -EFAULT;
	} else if (*fault) {
		*fault = false;
		rc = -EFAULT;
	}
	WRITE_ONCE(sk->sk_peek_off, had >= 0 ? had + peek.copied : had);
	return peek.copied ? peek.copied : rc;
}

/* As TCP, when nothing is there. */
static int tcp_ivpci_end(struct sock *sk)
{
	if (sock_flag(sk, SOCK_DONE))
		return 0;
	if (READ_ONCE(sk->sk_err))
		return sock_error(sk);
	if (READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN)
		return 0;
	return READ_ONCE(sk->sk_state) == TCP_CLOSE ? -ENOTCONN : -EAGAIN;
}

/*
 * One attempt. Bytes; 0: the end; -EAGAIN, also at an urgent byte that this call does not go over; or another
 * error. *fault: -EFAULT may be of a page that is not at hand; `whole`: and rather that than a part.
 */
static int tcp_ivpci_merge_once(struct tcp_ivpci_sock *ts, struct msghdr *msg, size_t len,
				int flags, bool whole, bool *fault)
{
	struct sock *sk = ts->sk;
	struct tcp_ivpci_next next;
	bool has_some = flags & TCP_IVPCI_HAS_SOME;
	bool gone_over = false;
	int rc;

	*fault = false;
	flags &= MSG_PEEK | MSG_TRUNC | MSG_CMSG_COMPAT;
again:
	mutex_lock(&ts->looking);
	if (!tcp_ivpci_look_next(ts, &next)) {
		tcp_ivpci_lied(ts);
		mutex_unlock(&ts->looking);
		return tcp_ivpci_ended(sk) ? tcp_ivpci_end(sk) : -EAGAIN;
	}
	if (has_some && !next.record && tcp_ivpci_is_mark(sk, next.copied_seq)) {
		mutex_unlock(&ts->looking);
		return -EAGAIN;
	}
	if (!(flags & MSG_PEEK) && len && next.hole) {
		mutex_unlock(&ts->looking);
		/* who is told of it by a signal may ask for it first; and they may come for ever */
		if (gone_over || task_sigpending(current))
			return -EAGAIN;
		tcp_ivpci_go_over(sk, next.copied_seq);
		gone_over = true;
		goto again;
	}
	if ((flags & MSG_PEEK) && len) {
		rc = tcp_ivpci_peek(ts, msg, len, flags, &next, whole, fault);
		if (rc != -EAGAIN || !next.ended)
			return rc;
		return tcp_ivpci_end(sk);
	}
	if (next.record) {
		rc = tcp_ivpci_take_records(ts, msg, len, flags, &next, fault);
		mutex_unlock(&ts->looking);
		return rc;
	}
	mutex_unlock(&ts->looking);
	if (!next.by_tcp && !next.hole)
		return next.ended ? tcp_ivpci_end(sk) : -EAGAIN;
	rc = tcp_ivpci_by_tcp(sk, msg, min_t(size_t, len, next.by_tcp), flags);
	if (rc > 0)
		ts->flow.tcp_received += rc;
	return rc;
}

int tcp_ivpci_merge(struct tcp_ivpci_sock *ts, struct msghdr *msg, size_t len, int flags,
		    bool whole, bool *fault)
{
	int rc = tcp_ivpci_merge_once(ts, msg, len, flags, whole, fault);

	tcp_ivpci_hear_of_more(ts, rc != -EAGAIN || (flags & MSG_PEEK));
	return rc;
}

static void tcp_ivpci_spd_release(struct splice_pipe_desc *spd, unsigned int i)
{
	put_page(spd->pages[i]);
}

/*
 * The pipe is locked: what it has room for it takes. It cannot have the ring's pages, which are written to
 * again.
 */
static ssize_t tcp_ivpci_fill_pipe(struct tcp_ivpci_sock *ts, struct pipe_inode_info *pipe,
				   size_t len)
{
	ssize_t done = 0;

	while (len && pipe->readers && !pipe_full(pipe->head, pipe->tail, pipe->max_usage)) {
		struct page *page = alloc_page(GFP_KERNEL);
		struct partial_page partial = {};
		struct splice_pipe_desc spd = {
			.pages = &page,
			.partial = &partial,
			.nr_pages = 1,
			.nr_pages_max = 1,
			.ops = &nosteal_pipe_buf_ops,
			.spd_release = tcp_ivpci_spd_release,
		};
		struct tcp_ivpci_next next;
		struct msghdr msg = {};
		struct kvec to;
		bool fault;
		int got = 0;

		if (!page)
			return done ? done : -ENOMEM;
		to.iov_base = page_address(page);
		to.iov_len = min_t(size_t, len, PAGE_SIZE);
		iov_iter_kvec(&msg.msg_iter, READ, &to, 1, to.iov_len);
		mutex_lock(&ts->looking);
		if (tcp_ivpci_look_next(ts, &next) && next.record)
			got = tcp_ivpci_take_records(ts, &msg, to.iov_len, 0, &next, &fault);
		mutex_unlock(&ts->looking);
		if (got <= 0) {
			put_page(page);
			break;
		}
		partial.len = got;
		if (splice_to_pipe(pipe, &spd) != got)
			break;
		done += got;
		len -= got;
	}
	return done ? done : -EAGAIN;
}

/* One attempt, as tcp_ivpci_merge(). */
static ssize_t tcp_ivpci_merge_splice_once(struct tcp_ivpci_sock *ts, struct socket *sock,
					   loff_t *ppos, struct pipe_inode_info *pipe, size_t len,
					   unsigned int flags)
{
	struct tcp_ivpci_next next;
	bool nonblock;
	ssize_t rc;

	if (*ppos)
		return -ESPIPE;
	mutex_lock(&ts->looking);
	if (!tcp_ivpci_look_next(ts, &next)) {
		tcp_ivpci_lied(ts);
		next.record = false;
		next.hole = false;
		next.by_tcp = 0;
	}
	mutex_unlock(&ts->looking);
	if (next.record)
		return tcp_ivpci_fill_pipe(ts, pipe, len);
	if (next.hole) {
		/* as TCP, which is not asked: it goes on if a second urgent byte comes just now */
		rc = tcp_ivpci_end(sock->sk);
		nonblock = sock->file->f_flags & O_NONBLOCK;
		return rc == -EAGAIN && sock_rcvtimeo(sock->sk, nonblock) ? 0 : rc;
	}
	if (!next.by_tcp)
		return next.ended ? tcp_ivpci_end(sock->sk) : -EAGAIN;
	/* there is something, and nobody else takes it: it does not sleep */
	rc = inet_stream_ops.splice_read(sock, ppos, pipe, min_t(size_t, len, next.by_tcp), flags);
	if (rc > 0)
		ts->flow.tcp_received += rc;
	return rc;
}

ssize_t tcp_ivpci_merge_splice(struct tcp_ivpci_sock *ts, struct socket *sock, loff_t *ppos,
			       struct pipe_inode_info *pipe, size_t len, unsigned int flags)
{
	ssize_t rc = tcp_ivpci_merge_splice_once(ts, sock, ppos, pipe, len, flags);

	/* it counts what is unread before it sleeps */
	tcp_ivpci_hear_of_more(ts, true);
	return rc;
}

static int tcp_ivpci_unread_records(struct tcp_ivpci_sock *ts, u32 rcv_nxt,
				    enum tcp_ivpci_watch watch, u32 most)
{
	struct records_reader *reader = &ts->reader;
	u32 copied_seq = READ_ONCE(tcp_sk(ts->sk)->copied_seq);
	enum records_answer answer;
	int count = 0;

	mutex_lock(&ts->looking);
	answer = tcp_ivpci_records_look(ts->sk, reader, copied_seq, rcv_nxt);
	if (watch == TCP_IVPCI_WATCH ||
	    (watch == TCP_IVPCI_WATCH_EMPTY && answer == RECORDS_NONE)) {
		/* what comes from here on is signalled */
		tcp_ivpci_watch(ts);
		answer = tcp_ivpci_records_look(ts->sk, reader, copied_seq, rcv_nxt);
	}
	if (answer == RECORDS_ONE)
		count = records_count(reader, rcv_nxt, most);
	else if (answer == RECORDS_LIE)
		tcp_ivpci_lied(ts);
	mutex_unlock(&ts->looking);
	return count;
}

/* *of_ring: those, counted up to `most`. */
static int tcp_ivpci_count_unread(struct sock *sk, enum tcp_ivpci_watch watch, u32 most,
				  int *of_ring)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	u32 copied_seq = READ_ONCE(tcp_sk(sk)->copied_seq);
	u32 rcv_nxt;
	int unread;

	smp_rmb(); /* others read meanwhile: never fewer than none */
	rcv_nxt = READ_ONCE(tcp_sk(sk)->rcv_nxt);
	unread = rcv_nxt - copied_seq;
	*of_ring = 0;
	if (!ts)
		return unread;
	if (READ_ONCE(ts->merges)) {
		virt_rmb();
		*of_ring = tcp_ivpci_unread_records(ts, rcv_nxt, watch, most);
	}
	tcp_ivpci_put(ts);
	return unread + *of_ring;
}

int tcp_ivpci_unread(struct sock *sk, enum tcp_ivpci_watch watch, u32 most)
{
	int of_ring;

	return tcp_ivpci_count_unread(sk, watch, most, &of_ring);
}

int tcp_ivpci_kept(struct tcp_ivpci_sock *ts)
{
	u32 copied_seq = READ_ONCE(tcp_sk(ts->sk)->copied_seq);
	u32 rcv_nxt = READ_ONCE(tcp_sk(ts->sk)->rcv_nxt);

	if (tcp_ivpci_records_look(ts->sk, &ts->reader, copied_seq, rcv_nxt) != RECORDS_ONE)
		return 0;
	return records_count(&ts->reader, rcv_nxt + IVPCI_RECORDS_AHEAD, INT_MAX / 2);
}

bool tcp_ivpci_merges(struct sock *sk)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	bool merges = ts && READ_ONCE(ts->merges);

	if (ts)
		tcp_ivpci_put(ts);
	return merges;
}

void tcp_ivpci_tell_unread(struct sock *sk, struct msghdr *msg)
{
	/* a hint: not each record is counted for each call */
	int unread = tcp_ivpci_unread(sk, TCP_IVPCI_NO_WATCH, SZ_4K);

	if (unread && sock_flag(sk, SOCK_DONE) &&
	    READ_ONCE(tcp_sk(sk)->rcv_nxt) != READ_ONCE(tcp_sk(sk)->copied_seq))
		unread--; /* the FIN */
	if (!unread && sock_flag(sk, SOCK_DONE))
		unread = 1; /* as TCP: there is an end to be read */
	msg->msg_inq = unread;
	if (tcp_sk(sk)->recvmsg_inq)
		put_cmsg(msg, SOL_TCP, TCP_CM_INQ, sizeof(unread), &unread);
}

/* Bytes of records that are read before TCP's byte at `seq`, counted up to `most`. */
static u32 tcp_ivpci_records_before(struct sock *sk, u32 seq, u32 most)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	u32 count = 0;

	if (!ts)
		return 0;
	virt_rmb(); /* the ring after what has come by TCP, an urgent byte, too */
	if (READ_ONCE(ts->merges))
		count = tcp_ivpci_unread_records(ts, seq, TCP_IVPCI_NO_WATCH, most);
	tcp_ivpci_put(ts);
	return count;
}

int tcp_ivpci_unread_in_ring(struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	u32 urgent = READ_ONCE(tp->urg_seq);
	int of_ring;

	if (unlikely(READ_ONCE(tp->urg_data)) && !sock_flag(sk, SOCK_URGINLINE) &&
	    !before(urgent, READ_ONCE(tp->copied_seq)) && before(urgent, READ_ONCE(tp->rcv_nxt)))
		return tcp_ivpci_records_before(sk, urgent, INT_MAX / 2);
	tcp_ivpci_count_unread(sk, TCP_IVPCI_NO_WATCH, INT_MAX / 2, &of_ring);
	return of_ring;
}

/* What is read next is a record's. */
bool tcp_ivpci_record_is_next(struct sock *sk)
{
	return tcp_ivpci_records_before(sk, READ_ONCE(tcp_sk(sk)->copied_seq), 1);
}

bool tcp_ivpci_can_peek(struct sock *sk, u32 skip, u32 wanted)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	u32 urgent, copied_seq, rcv_nxt, before_it, over = 0;
	/* it asks to be told of the next record in any case: the peek may find nothing, and sleep */
	u32 unread = tcp_ivpci_unread(sk, TCP_IVPCI_WATCH, skip + wanted);

	if (likely(!READ_ONCE(tp->urg_data)))
		return unread >= skip + wanted;
	urgent = READ_ONCE(tp->urg_seq);
	copied_seq = READ_ONCE(tp->copied_seq);
	smp_rmb(); /* never less than what is read */
	rcv_nxt = READ_ONCE(tp->rcv_nxt);
	if (!before(urgent, copied_seq) && !before(rcv_nxt, urgent)) {
		before_it = urgent - copied_seq + tcp_ivpci_records_before(sk, urgent, skip + 1);
		if (before_it > skip)
			return true; /* a peek ends there */
		if (before_it == skip && rcv_nxt != urgent && !sock_flag(sk, SOCK_URGINLINE))
			over = 1; /* a peek that begins there goes over it */
	}
	return unread >= skip + wanted + over;
}

bool tcp_ivpci_has_more(struct sock *sk)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	struct ivpci_records *in;
	bool more;

	if (!ts) /* detached meanwhile: the rest is TCP's */
		return READ_ONCE(tcp_sk(sk)->rcv_nxt) != READ_ONCE(tcp_sk(sk)->copied_seq);
	rcu_read_lock();
	in = READ_ONCE(ts->reader.ring);
	more = READ_ONCE(ts->merges) &&
	       (READ_ONCE(tcp_sk(sk)->rcv_nxt) != READ_ONCE(tcp_sk(sk)->copied_seq) ||
		records_unread(&ts->reader) ||
		(in && READ_ONCE(in->produced) != READ_ONCE(ts->reader.pos)));
	rcu_read_unlock();
	tcp_ivpci_put(ts);
	return more;
}

/*
 * Who asks whether there is something hears of what comes later, too, though this is unread: by an edge (epoll,
 * io_uring, SIGIO), or since it is too little. A plain poll() or select() does not sleep then: hearing of each
 * record would be a doorbell for each.
 */
static bool tcp_ivpci_wants_all(struct sock *sk, int wanted)
{
	bool edges = sock_flag(sk, SOCK_FASYNC);

#ifdef CONFIG_EPOLL
	edges = edges ||
		(sk->sk_socket && sk->sk_socket->file && READ_ONCE(sk->sk_socket->file->f_ep));
#endif
#ifdef CONFIG_IO_URING
	edges = edges || current->io_uring || (current->flags & PF_IO_WORKER);
#endif
	return edges || wanted > 1;
}

/* Of poll(), in process context; what TCP alone makes readable is known already. */
bool tcp_ivpci_is_readable(struct sock *sk)
{
	int wanted = tcp_ivpci_lowat(sk);
	int of_ring;
	enum tcp_ivpci_watch watch =
		tcp_ivpci_wants_all(sk, wanted) ? TCP_IVPCI_WATCH : TCP_IVPCI_WATCH_EMPTY;
	int all = tcp_ivpci_count_unread(sk, watch, wanted, &of_ring);

	return of_ring && all >= wanted;
}
