// SPDX-License-Identifier: GPL-2.0-only
/*
 * What replaces TCP's functions of a socket: it marks who passes, counts what is in the ring, too, and
 * detaches where the socket has to be TCP's own.
 */
#include <linux/in6.h>
#include <linux/module.h>
#include <linux/bvec.h>
#include <linux/sockios.h>
#include <linux/uaccess.h>

#include <net/inet_common.h>
#include <net/transp_v6.h>
#include <asm/ioctls.h>

#include "compat/net.h"
#include "tcp_ivpci.h"

enum {
	TCP_IVPCI_V4,
	TCP_IVPCI_V6,
	TCP_IVPCI_FAMILIES
};

static struct proto *const tcp_ivpci_base[TCP_IVPCI_FAMILIES] = {&tcp_prot, &tcpv6_prot};
static struct proto tcp_ivpci_protos[TCP_IVPCI_FAMILIES];

/* As of the first socket of a family: inet6_stream_ops is not everywhere to be had. Under tcp_ivpci_lock. */
static const struct proto_ops *tcp_ivpci_base_ops[TCP_IVPCI_FAMILIES];
static struct proto_ops tcp_ivpci_ops[TCP_IVPCI_FAMILIES];

#ifdef IVPCI_HAVE_PROTO_SENDPAGE
static int tcp_ivpci_sendpage(struct sock *sk, struct page *page, int offset, size_t size,
			      int flags)
{
	struct tcp_ivpci_call call;
	struct msghdr msg = {.msg_flags = flags};
	struct bio_vec bytes = {.bv_page = page, .bv_offset = offset, .bv_len = size};
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	bool by_ring = ts && READ_ONCE(ts->by_ring);
	int rc;

	if (ts)
		tcp_ivpci_put(ts);
	if (by_ring) {
		iov_iter_bvec(&msg.msg_iter, WRITE, &bytes, 1, size);
		return tcp_ivpci_send(sk, &msg, size);
	}
	tcp_ivpci_enter(sk, &call, true);
	if (call.ts)
		atomic_inc(&call.ts->in_tcp);
	rc = tcp_prot.sendpage(sk, page, offset, size, flags);
	if (call.ts)
		atomic_dec(&call.ts->in_tcp);
	tcp_ivpci_leave(&call);
	return rc;
}
#endif

static int tcp_ivpci_recvmsg(struct sock *sk, struct msghdr *msg, size_t len,
			     int flags COMPAT_RECVMSG_NAME)
{
#ifdef IVPCI_HAVE_RECVMSG_NAME
	return tcp_ivpci_receive(sk, msg, len, flags, name_length);
#else
	return tcp_ivpci_receive(sk, msg, len, flags, NULL);
#endif
}

/* What another protocol is made of TCP's by, or what TCP looks for its own functions in. */
static bool tcp_ivpci_needs_tcp(int level, int optname)
{
	return (level == SOL_TCP && (optname == TCP_ULP || optname == TCP_REPAIR)) ||
	       (level == SOL_IPV6 && optname == IPV6_ADDRFORM);
}

static int tcp_ivpci_setsockopt(struct sock *sk, int level, int optname, sockptr_t value,
				unsigned int length)
{
	struct tcp_ivpci_call call;
	int rc;

	if (tcp_ivpci_needs_tcp(level, optname))
		return tcp_ivpci_yield(sk, level, optname, value, length);
	tcp_ivpci_enter(sk, &call, false);
	rc = tcp_prot.setsockopt(sk, level, optname, value, length);
	tcp_ivpci_leave(&call);
	return rc;
}

/*
 * TCP_ZEROCOPY_RECEIVE takes bytes. With rings it maps none, and says how many are to be had by recv(), as TCP
 * does where pages do not fit.
 */
static int tcp_ivpci_zerocopy(struct sock *sk, char __user *value, int __user *length)
{
	struct tcp_zerocopy_receive zc = {};
	int len;

	if (get_user(len, length))
		return -EFAULT;
	if (len < (int)offsetofend(struct tcp_zerocopy_receive, length))
		return -EINVAL;
	len = min_t(int, len, sizeof(zc));
	if (copy_from_user(&zc, value, len))
		return -EFAULT;
	zc.inq = tcp_ivpci_unread(sk, TCP_IVPCI_NO_WATCH, INT_MAX / 2);
	zc.recv_skip_hint = min_t(u32, zc.length, zc.inq);
	zc.length = 0;
	zc.err = 0;
	zc.copybuf_len = 0;
	if (put_user(len, length) || copy_to_user(value, &zc, len))
		return -EFAULT;
	return 0;
}

static int tcp_ivpci_receive_zerocopy(struct sock *sk, char __user *value, int __user *length)
{
	struct tcp_ivpci_call call;
	int rc;

	tcp_ivpci_read_begin(sk, &call);
	if (call.ts && call.ts->merges)
		rc = tcp_ivpci_zerocopy(sk, value, length);
	else
		rc = tcp_prot.getsockopt(sk, SOL_TCP, TCP_ZEROCOPY_RECEIVE, value, length);
	tcp_ivpci_read_end(&call);
	return rc;
}

static int tcp_ivpci_getsockopt(struct sock *sk, int level, int optname, char __user *value,
				int __user *length)
{
	struct tcp_ivpci_call call;
	int had;
	int rc;

	/* as if there were none */
	if (level == SOL_TCP && optname == TCP_ULP && tcp_ivpci_replaced(sk)) {
		if (get_user(had, length))
			return -EFAULT;
		return had < 0 ? -EINVAL : put_user(0, length);
	}
	if (level == SOL_TCP && optname == TCP_ZEROCOPY_RECEIVE)
		return tcp_ivpci_receive_zerocopy(sk, value, length);
	tcp_ivpci_enter(sk, &call, false);
	rc = tcp_prot.getsockopt(sk, level, optname, value, length);
	tcp_ivpci_leave(&call);
	return rc;
}

#ifdef IVPCI_HAVE_PROTO_SPLICE_EOF
static void tcp_ivpci_splice_eof(struct socket *sock)
{
	struct tcp_ivpci_call call;

	tcp_ivpci_enter(sock->sk, &call, true);
	tcp_prot.splice_eof(sock);
	tcp_ivpci_leave(&call);
}
#endif

static void tcp_ivpci_close(struct sock *sk, long timeout)
{
	tcp_ivpci_closed(sk);
	tcp_prot.close(sk, timeout);
}

/* connect() with AF_UNSPEC, with the lock. The next connection is none of ours. */
static int tcp_ivpci_disconnect(struct sock *sk, int flags)
{
	tcp_ivpci_detach_owned(sk);
	return tcp_prot.disconnect(sk, flags);
}

static int tcp_ivpci_shutdown(struct socket *sock, int how)
{
	struct tcp_ivpci_call call;
	int rc;

	tcp_ivpci_enter(sock->sk, &call, false);
	rc = inet_stream_ops.shutdown(sock, how);
	tcp_ivpci_leave(&call);
	return rc;
}

static int tcp_ivpci_base_ioctl(struct socket *sock, unsigned int cmd, unsigned long arg)
{
	struct tcp_ivpci_call call;
	int rc;

	tcp_ivpci_enter(sock->sk, &call, false);
	rc = tcp_ivpci_base_ops[sock->sk->sk_family == AF_INET6 ? TCP_IVPCI_V6 : TCP_IVPCI_V4]
		     ->ioctl(sock, cmd, arg);
	tcp_ivpci_leave(&call);
	return rc;
}

static int tcp_ivpci_ioctl(struct socket *sock, unsigned int cmd, unsigned long arg)
{
	struct sock *sk = sock->sk;
	int __user *to = (int __user *)arg;
	struct tcp_ivpci_call call;
	int count;

	if (cmd == SIOCATMARK && tcp_ivpci_record_is_next(sk))
		return put_user(0, to);
	if (cmd != SIOCINQ || !tcp_ivpci_unread_in_ring(sk))
		return tcp_ivpci_base_ioctl(sock, cmd, arg);
	tcp_ivpci_enter(sk, &call, false);
	lock_sock(sk);
	count = tcp_inq(sk) + tcp_ivpci_unread_in_ring(sk);
	release_sock(sk);
	tcp_ivpci_leave(&call);
	return put_user(count, to);
}

bool tcp_ivpci_replaced(const struct sock *sk)
{
	const struct proto *proto = READ_ONCE(sk->sk_prot);

	return proto == &tcp_ivpci_protos[TCP_IVPCI_V4] || proto == &tcp_ivpci_protos[TCP_IVPCI_V6];
}

/* Under the slock, of one that a program has, and tcp_ivpci_lock. False: functions that we do not know. */
bool tcp_ivpci_replace(struct sock *sk)
{
	int family = sk->sk_prot == &tcp_prot ? TCP_IVPCI_V4 : TCP_IVPCI_V6;
	const struct proto_ops *base = sk->sk_socket->ops;
	struct proto_ops *ops = &tcp_ivpci_ops[family];

	if (sk->sk_prot != tcp_ivpci_base[family] || base->shutdown != inet_stream_ops.shutdown ||
	    base->splice_read != inet_stream_ops.splice_read)
		return false;
	if (!tcp_ivpci_base_ops[family]) {
		/* with its owner, to whom sock_release() gives back what accept() or socket() took */
		*ops = *base;
		ops->shutdown = tcp_ivpci_shutdown;
		ops->splice_read = tcp_ivpci_splice_read;
		ops->ioctl = tcp_ivpci_ioctl;
		ops->set_rcvlowat = tcp_ivpci_set_rcvlowat;
		tcp_ivpci_base_ops[family] = base;
	}
	if (tcp_ivpci_base_ops[family] != base)
		return false;
	/* pairs with who calls by them */
	smp_wmb();
	WRITE_ONCE(sk->sk_prot, &tcp_ivpci_protos[family]);
	WRITE_ONCE(sk->sk_socket->ops, ops);
	return true;
}

/* Under the slock. */
void tcp_ivpci_put_back(struct sock *sk)
{
	int family;

	for (family = 0; family < TCP_IVPCI_FAMILIES; family++) {
		if (sk->sk_prot == &tcp_ivpci_protos[family])
			WRITE_ONCE(sk->sk_prot, tcp_ivpci_base[family]);
		if (sk->sk_socket && sk->sk_socket->ops == &tcp_ivpci_ops[family])
			WRITE_ONCE(sk->sk_socket->ops, tcp_ivpci_base_ops[family]);
	}
}

int tcp_ivpci_functions_init(void)
{
	int family;

	/* those that are called here are tcp_prot's, whichever family a socket is of */
	if (tcpv6_prot.sendmsg != tcp_prot.sendmsg || tcpv6_prot.recvmsg != tcp_prot.recvmsg ||
	    tcpv6_prot.setsockopt != tcp_prot.setsockopt || tcpv6_prot.close != tcp_prot.close ||
	    tcpv6_prot.getsockopt != tcp_prot.getsockopt ||
	    tcpv6_prot.disconnect != tcp_prot.disconnect ||
	    tcpv6_prot.release_cb != tcp_prot.release_cb)
		return -EOPNOTSUPP;
	for (family = 0; family < TCP_IVPCI_FAMILIES; family++) {
		struct proto *proto = &tcp_ivpci_protos[family];

		*proto = *tcp_ivpci_base[family];
		proto->sendmsg = tcp_ivpci_send;
		proto->sock_is_readable = tcp_ivpci_is_readable;
		proto->stream_memory_free = tcp_ivpci_memory_free;
		proto->recvmsg = tcp_ivpci_recvmsg;
		proto->setsockopt = tcp_ivpci_setsockopt;
		proto->getsockopt = tcp_ivpci_getsockopt;
		proto->close = tcp_ivpci_close;
		proto->disconnect = tcp_ivpci_disconnect;
		proto->release_cb = tcp_ivpci_release_cb;
#ifdef IVPCI_HAVE_PROTO_SPLICE_EOF
		proto->splice_eof = tcp_ivpci_splice_eof;
#endif
#ifdef IVPCI_HAVE_PROTO_SENDPAGE
		proto->sendpage = tcp_ivpci_sendpage;
#endif
	}
	return 0;
}
