// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections that the agent relays (include/smc_steer/splice_abi.h): which ones, how a program
 * sees them, and how the two ends of a loopback connection meet without its TCP in between.
 *
 * All of it goes with the agent. It decides nothing for a connection that no rule with "adopt"
 * allows: a few lookups per connect(), one per accept(), getpeername() and getsockname().
 */
#include "lib/kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "lib/lengths.h"
#include "lib/maps.h"
#include "lib/match.h"
#include "lib/ops.h"
#include "lib/relayed.h"
#include "lib/same_host.h"
#include "lib/steered.h"
#include "lib/workload.h"

char LICENSE[] SEC("license") = "GPL";

#define TCP_SYNCNT  7
#define SYN_RETRIES 6 /* net.ipv4.tcp_syn_retries, unless somebody has changed it */
/* The first retry comes after a jiffy and not after a second, each one takes twice as long as the
 * one before it: as many more come to about the same time (2^8 jiffies of 250 per second).
 */
#define MORE_RETRIES	8
#define SYN_RETRIES_MAX 127

/* What connect() was asked for. */
static __always_inline void asked_for(struct steer_address *a, struct bpf_sock_addr *ctx, bool v6)
{
	if (v6)
		address_from_context(a, ctx->user_ip6);
	else
		address_from_v4(a, ctx->user_ip4);
}

static __always_inline bool is_v4(const struct steer_address *a)
{
	const __u32 *words = (const __u32 *)a->in6;

	return !words[0] && !words[1] && words[2] == bpf_htonl(0xffff);
}

static __always_inline bool is_declined(const struct splice_name *wanted)
{
	__u64 *until = bpf_map_lookup_elem(&declined, wanted);

	return until && bpf_ktime_get_ns() < *until;
}

/* The kernel's own sockets are SMC's inner ones among others. */
static __always_inline bool is_of_program(struct tcp_sock *tp)
{
	return !BPF_CORE_READ_BITFIELD(&tp->inet_conn.icsk_inet.sk, sk_kern_sock);
}

/* Another kind of socket, or one that takes another way: SMC's own, MPTCP's, one that is bound to
 * a device.
 */
static __always_inline bool is_plain_tcp(struct bpf_sock_addr *ctx, struct tcp_sock *tp)
{
	return is_of_program(tp) && !ctx->sk->bound_dev_if && !bpf_skc_to_mptcp_sock(ctx->sk);
}

static __always_inline bool rules_adopt(const struct sock *sk, const struct splice_name *wanted)
{
	struct steer_policy *p;
	struct workload w;
	struct match m;

	p = match_begin(&m, wanted->port);
	if (!p)
		return false;
	workload_of_sock(&w, sk);
	return cgroup_selected(w.cgroup) && match_peer(&m, p, &wanted->address) &&
	       match_workload(&m, p, &w) && match_adopts(&m, p, STEER_OUT);
}

/* The network namespace's relay if the connection is one for it. */
static __always_inline struct splice_relay *
relay_for(struct bpf_sock_addr *ctx, struct tcp_sock *tp, const struct splice_name *wanted)
{
	const struct steer_control *agent = living_agent();
	const struct steer_peer *peer;
	struct splice_relay *relay;
	__u64 netns;

	if (!agent || is_agent())
		return NULL;
	peer = same_host_peer(&wanted->address);
	if (!peer || !peer->linked || wanted->port == peer->link_port)
		return NULL;
	netns = bpf_get_netns_cookie(ctx);
	relay = bpf_map_lookup_elem(&relays, &netns);
	if (!relay || !relay->hold || (!is_v4(&wanted->address) && !(relay->flags & SPLICE_IPV6)))
		return NULL;
	if (!is_plain_tcp(ctx, tp) || is_declined(wanted))
		return NULL;
	if (!rules_adopt(&tp->inet_conn.icsk_inet.sk, wanted))
		return NULL;
	if (too_short(agent, &wanted->address, wanted->port)) {
		count(STEER_SYN_SHORT);
		return NULL;
	}
	return relay;
}

static __always_inline bool remember(struct bpf_sock_addr *ctx, const struct tcp_sock *tp,
				     const struct splice_name *wanted, __u16 hold)
{
	int retries = tp->inet_conn.icsk_syn_retries;
	struct splice_face *face;

	face = bpf_sk_storage_get(&faces, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!face)
		return false;
	face->peer = *wanted;
	face->local.port = 0;
	face->hold = hold;
	face->syn_retries = retries;
	retries = (retries ? retries : SYN_RETRIES) + MORE_RETRIES;
	if (retries > SYN_RETRIES_MAX)
		retries = SYN_RETRIES_MAX;
	bpf_setsockopt(ctx, IPPROTO_TCP, TCP_SYNCNT, &retries, sizeof(retries));
	return true;
}

/* A socket that goes elsewhere now than it went before. */
static __always_inline void forget(struct bpf_sock_addr *ctx)
{
	if (bpf_sk_storage_get(&faces, ctx->sk, NULL, 0))
		bpf_sk_storage_delete(&faces, ctx->sk);
}

static __always_inline void redirect(struct bpf_sock_addr *ctx, bool v6)
{
	struct splice_name wanted = {};
	struct splice_relay *relay;
	struct tcp_sock *tp;
	struct bpf_sock *sk = ctx->sk;
	__u16 hold;

	if (ctx->type != SOCK_STREAM || ctx->protocol != IPPROTO_TCP || !sk)
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	asked_for(&wanted.address, ctx, v6);
	wanted.port = bpf_ntohs(ctx->user_port);
	relay = relay_for(ctx, tp, &wanted);
	if (!relay) {
		forget(ctx);
		return;
	}
	hold = relay->hold;
	if (!remember(ctx, tp, &wanted, hold))
		return;
	if (!v6) {
		ctx->user_ip4 = bpf_htonl(0x7f000001);
	} else {
		ctx->user_ip6[0] = 0;
		ctx->user_ip6[1] = 0;
		ctx->user_ip6[2] = is_v4(&wanted.address) ? bpf_htonl(0xffff) : 0;
		ctx->user_ip6[3] = bpf_htonl(is_v4(&wanted.address) ? 0x7f000001 : 1);
	}
	ctx->user_port = bpf_htons(hold);
}

SEC("cgroup/connect4")
int splice_connect4(struct bpf_sock_addr *ctx)
{
	redirect(ctx, false);
	return 1;
}

SEC("cgroup/connect6")
int splice_connect6(struct bpf_sock_addr *ctx)
{
	redirect(ctx, true);
	return 1;
}

static __always_inline void show(struct bpf_sock_addr *ctx, const struct splice_name *name, bool v6)
{
	const __u32 *words = (const __u32 *)name->address.in6;

	if (!name->port)
		return;
	if (!v6) {
		if (!is_v4(&name->address))
			return;
		ctx->user_ip4 = words[3];
	} else {
		ctx->user_ip6[0] = words[0];
		ctx->user_ip6[1] = words[1];
		ctx->user_ip6[2] = words[2];
		ctx->user_ip6[3] = words[3];
	}
	ctx->user_port = bpf_htons(name->port);
}

static __always_inline struct splice_face *face_of(struct bpf_sock_addr *ctx)
{
	if (ctx->type != SOCK_STREAM || ctx->protocol != IPPROTO_TCP || !ctx->sk)
		return NULL;
	return bpf_sk_storage_get(&faces, ctx->sk, NULL, 0);
}

#define SHOW(program, hook, which, v6)                             \
	SEC("cgroup/" hook) int program(struct bpf_sock_addr *ctx) \
	{                                                          \
		struct splice_face *face = face_of(ctx);           \
                                                                   \
		if (face)                                          \
			show(ctx, &face->which, v6);               \
		return 1;                                          \
	}

SHOW(splice_peer4, "getpeername4", peer, false)
SHOW(splice_peer6, "getpeername6", peer, true)
SHOW(splice_own4, "getsockname4", local, false)
SHOW(splice_own6, "getsockname6", local, true)

static __always_inline void watch_state(struct bpf_sock_ops *ops)
{
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* Of a program's socket that was sent to the hold; NULL: it is none. */
static __always_inline struct splice_face *held_face(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct splice_face *face = sk ? bpf_sk_storage_get(&faces, sk, NULL, 0) : NULL;

	return face && face->hold && face->hold == bpf_ntohl(ops->remote_port) ? face : NULL;
}

static __always_inline void way_of(struct splice_way *way, struct bpf_sock_ops *ops,
				   const struct splice_face *face)
{
	__builtin_memset(way, 0, sizeof(*way));
	way->hold = face->hold;
	way->port = ops->local_port;
	way->family = is_v4(&face->peer.address) ? AF_INET : AF_INET6;
}

static __always_inline bool tell(__u32 kind, const struct splice_way *way, __u64 cookie,
				 const struct splice_face *face, const struct steer_address *bound)
{
	struct splice_event *e = bpf_ringbuf_reserve(&asked, sizeof(*e), 0);

	if (!e)
		return false;
	e->way = *way;
	e->cookie = cookie;
	e->wanted = face->peer;
	e->bound = *bound;
	e->kind = kind;
	bpf_ringbuf_submit(e, 0);
	return true;
}

static __always_inline void connecting(struct bpf_sock_ops *ops)
{
	__u64 cookie = bpf_get_socket_cookie(ops);
	struct splice_face *face = held_face(ops);
	struct splice_held h = {.cookie = cookie, .state = SPLICE_WAIT};
	struct steer_address bound;
	struct splice_way way;

	if (!face)
		return;
	way_of(&way, ops, face);
	local_address(&bound, ops);
	/* Before it is told: the agent looks for it when the server has answered. */
	bpf_map_update_elem(&held, &way, &h, BPF_ANY);
	if (!tell(SPLICE_ASKED, &way, cookie, face, &bound)) {
		h.state = SPLICE_REFUSED;
		bpf_map_update_elem(&held, &way, &h, BPF_ANY);
	}
	watch_state(ops);
}

static __always_inline void first_timeout(struct bpf_sock_ops *ops)
{
	if (!ops->is_fullsock || !held_face(ops))
		return;
	ops->reply = 1; /* jiffy */
}

static __always_inline void tuple_of(struct splice_tuple *t, struct bpf_sock_ops *ops)
{
	__builtin_memset(t, 0, sizeof(*t));
	t->netns = bpf_get_netns_cookie(ops);
	local_address(&t->local, ops);
	remote_address(&t->remote, ops);
	t->local_port = ops->local_port;
	t->remote_port = bpf_ntohl(ops->remote_port);
}

static __always_inline void join(struct bpf_sock_ops *ops)
{
	__u64 netns = bpf_get_netns_cookie(ops);
	struct splice_relay *relay = bpf_map_lookup_elem(&relays, &netns);
	struct bpf_sock *sk = ops->sk;
	struct splice_tuple t;
	struct tcp_sock *tp;

	if (!relay || !(relay->flags & SPLICE_JOIN) || !sk)
		return;
	/* SMC and sockmap both want sk_user_data of SMC's inner sockets, and do not ask. */
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || !is_of_program(tp) || bpf_skc_to_mptcp_sock(sk))
		return;
	tuple_of(&t, ops);
	bpf_sock_hash_update(ops, &joined, &t, BPF_NOEXIST);
}

/* The program's end of what it was sent to, or the agent's end of a connection to a server. */
static __always_inline void connected(struct bpf_sock_ops *ops)
{
	struct splice_face *face = held_face(ops);
	struct splice_caller c = {};
	struct splice_held *h;
	struct splice_way way;
	int retries;

	if (face) {
		way_of(&way, ops, face);
		h = bpf_map_lookup_elem(&held, &way);
		if (h)
			face->local = h->local;
		bpf_map_delete_elem(&held, &way);
		retries = face->syn_retries ? face->syn_retries : SYN_RETRIES;
		bpf_setsockopt(ops, IPPROTO_TCP, TCP_SYNCNT, &retries, sizeof(retries));
		join(ops);
		return;
	}
	c.netns = bpf_get_netns_cookie(ops);
	local_address(&c.address, ops);
	c.port = ops->local_port;
	c.server = bpf_ntohl(ops->remote_port);
	if (bpf_map_lookup_elem(&callers, &c))
		join(ops);
}

/* The agent's end of what a program was sent to, or the server's end. */
static __always_inline void accepted(struct bpf_sock_ops *ops)
{
	__u64 netns = bpf_get_netns_cookie(ops);
	struct splice_relay *relay = bpf_map_lookup_elem(&relays, &netns);
	struct bpf_sock *sk = ops->sk;
	struct splice_caller c = {};
	struct splice_name *caller;
	struct splice_face *face;

	if (!relay || !sk)
		return;
	if (relay->hold && relay->hold == ops->local_port) {
		join(ops);
		return;
	}
	c.netns = netns;
	remote_address(&c.address, ops);
	c.port = bpf_ntohl(ops->remote_port);
	c.server = ops->local_port;
	caller = bpf_map_lookup_elem(&callers, &c);
	if (!caller)
		return;
	face = bpf_sk_storage_get(&faces, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (face)
		face->peer = *caller;
	join(ops);
}

static __always_inline void closed(struct bpf_sock_ops *ops)
{
	__u64 cookie = bpf_get_socket_cookie(ops);
	struct splice_face *face = held_face(ops);
	struct steer_address none = {};
	struct splice_held *h;
	struct splice_way way;

	if (!face)
		return;
	way_of(&way, ops, face);
	h = bpf_map_lookup_elem(&held, &way);
	if (h && h->cookie == cookie) {
		bpf_map_delete_elem(&held, &way);
		tell(SPLICE_GONE, &way, cookie, face, &none);
	}
}

SEC("sockops")
int splice_events(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		connecting(ops);
		break;
	case BPF_SOCK_OPS_TIMEOUT_INIT:
		first_timeout(ops);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		connected(ops);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		accepted(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ops->args[1] == BPF_TCP_CLOSE)
			closed(ops);
		break;
	}
	return 1;
}

/* Run by the agent. For that socket alone, and in its own entry: by now the port may be another one's.
 * True: it is still held.
 */
SEC("syscall")
int splice_settle(struct splice_word *word)
{
	struct splice_way way = word->way;
	struct splice_held *h = bpf_map_lookup_elem(&held, &way);

	if (!h || h->cookie != word->cookie)
		return 0;
	h->local = word->local;
	barrier();
	*(volatile __u32 *)&h->state = word->state;
	return 1;
}

/* Run by the agent. Connections over TCP flows.bpf.c learns from. */
SEC("syscall")
int splice_learn(struct splice_length *length)
{
	const struct steer_control *agent = living_agent();
	struct splice_name server = length->server;

	if (agent && agent->short_bytes)
		learn_length(agent, &server.address, server.port, length->bytes,
			     length->lifetime_ns);
	return 0;
}

/* A SYN to the hold, where a listener is that hears nothing: to pass is to be tried again. To be
 * dropped here means that there is no such socket, which is answered with a reset.
 */
SEC("sk_lookup")
int splice_lookup(struct bpf_sk_lookup *ctx)
{
	struct splice_way way = {.hold = ctx->local_port,
				 .port = bpf_ntohs(ctx->remote_port),
				 .family = ctx->family};
	struct splice_place place = {.hold = ctx->local_port, .family = ctx->family};
	struct splice_held *h;
	struct bpf_sock *sk;

	if (ctx->protocol != IPPROTO_TCP)
		return SK_PASS;
	h = bpf_map_lookup_elem(&held, &way);
	if (!h)
		return SK_PASS;
	switch (h->state) {
	case SPLICE_REFUSED:
		return SK_DROP;
	case SPLICE_GO:
		sk = bpf_map_lookup_elem(&listeners, &place);
		if (sk) {
			bpf_sk_assign(ctx, sk, 0);
			bpf_sk_release(sk);
		}
		break;
	}
	return SK_PASS;
}
