// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module tcp_ivpci: /dev/tcp_ivpci, by which root attaches to connections (smc_steer/direct_abi.h). No thread
 * of a program is ever in here, so it can be unloaded at any time, and waits for none.
 */
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/uaccess.h>
#include <net/net_namespace.h>

#include <smc_steer/version.h>

#include "compat/net.h"
#include "tcp_ivpci.h"

static struct net *tcp_ivpci_net(int fd)
{
	return fd < 0 ? get_net(current->nsproxy->net_ns) : get_net_ns_by_fd(fd);
}

/* With a reference; NULL: there is none. */
static struct sock *tcp_ivpci_find_tuple(struct net *net, const struct direct_request *request)
{
	struct sock *sk = NULL;

	if (request->family == AF_INET) {
		__be32 local, remote;

		memcpy(&local, request->local, sizeof(local));
		memcpy(&remote, request->remote, sizeof(remote));
		sk = compat_inet_lookup_established(net, remote, request->remote_port, local,
						    ntohs(request->local_port), 0);
	}
#if IS_ENABLED(CONFIG_IPV6)
	if (request->family == AF_INET6) {
		struct in6_addr local, remote;

		memcpy(&local, request->local, sizeof(local));
		memcpy(&remote, request->remote, sizeof(remote));
		sk = compat_inet6_lookup_established(net, &remote, request->remote_port, &local,
						     ntohs(request->local_port), 0);
	}
#endif
	if (sk && (!sk_fullsock(sk) || sk->sk_protocol != IPPROTO_TCP)) {
		sock_gen_put(sk);
		sk = NULL;
	}
	return sk;
}

static struct sock *tcp_ivpci_find_fd(int fd)
{
	struct sock *sk = NULL;
	struct socket *sock;
	int err;

	sock = sockfd_lookup(fd, &err);
	if (!sock)
		return NULL;
	if (sock->sk && sock->type == SOCK_STREAM && sock->sk->sk_protocol == IPPROTO_TCP &&
	    (sock->sk->sk_family == AF_INET || sock->sk->sk_family == AF_INET6)) {
		sk = sock->sk;
		sock_hold(sk);
	}
	sockfd_put(sock);
	return sk;
}

/* What the two ends began with stays the same as long as the connection lives. */
static void tcp_ivpci_identity(struct sock *sk, struct direct_request *request)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	spin_lock_bh(&sk->sk_lock.slock);
	request->first_sent = tp->snd_una - (u32)tp->bytes_acked;
	request->first_received = tp->rcv_nxt - (u32)tp->bytes_received;
	spin_unlock_bh(&sk->sk_lock.slock);
}

static struct sock *tcp_ivpci_find(struct direct_request *request, bool identify)
{
	struct direct_request is;
	struct sock *sk;
	struct net *net;

	if (request->fd >= 0)
		return tcp_ivpci_find_fd(request->fd);
	net = tcp_ivpci_net(request->net);
	if (IS_ERR(net))
		return NULL;
	sk = tcp_ivpci_find_tuple(net, request);
	put_net(net);
	if (!sk || identify)
		return sk;
	tcp_ivpci_identity(sk, &is);
	if (is.first_sent == request->first_sent && is.first_received == request->first_received)
		return sk;
	sock_put(sk);
	return NULL;
}

static u32 tcp_ivpci_state(struct sock *sk)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	u32 state;

	if (!ts)
		return 0;
	state = (READ_ONCE(ts->attached) ? DIRECT_ATTACHED : 0) |
		(READ_ONCE(ts->clean_sending) ? DIRECT_CLEAN_SENDING : 0) |
		(READ_ONCE(ts->clean_receiving) ? DIRECT_CLEAN_RECEIVING : 0) |
		(READ_ONCE(ts->writer.ring) ? DIRECT_RINGS : 0) |
		(READ_ONCE(ts->by_ring) ? DIRECT_MOVED : 0);
	tcp_ivpci_put(ts);
	return state;
}

static long tcp_ivpci_do(unsigned int cmd, struct direct_request *request)
{
	struct sock *sk;
	int rc = 0;

	if (request->unused)
		return -EINVAL;
	sk = tcp_ivpci_find(request, cmd == DIRECT_IDENTIFY);
	if (!sk)
		return -ENOENT;
	request->reason = DIRECT_NO_REASON;
	switch (cmd) {
	case DIRECT_IDENTIFY:
		tcp_ivpci_identity(sk, request);
		break;
	case DIRECT_ATTACH:
		rc = tcp_ivpci_attach(sk);
		if (rc > 0) {
			request->reason = rc;
			rc = -EBUSY;
		}
		break;
	case DIRECT_DETACH:
		tcp_ivpci_detach(sk, &tcp_ivpci_counters.detached);
		break;
	}
	request->state = tcp_ivpci_state(sk);
	sock_put(sk);
	return rc;
}

static int tcp_ivpci_do_rings(struct sock *sk, unsigned int cmd, struct direct_rings *rings)
{
	switch (cmd) {
	case DIRECT_MAKE:
		return tcp_ivpci_make_rings(sk, rings);
	case DIRECT_CONNECT:
		return tcp_ivpci_connect_rings(sk, rings->token);
	case DIRECT_MOVE:
	case DIRECT_BACK:
		return tcp_ivpci_move(sk, cmd == DIRECT_MOVE);
	case DIRECT_RETURN:
		return tcp_ivpci_return_rings(sk);
	}
	return DIRECT_NO_REASON;
}

static void tcp_ivpci_flow(struct sock *sk, struct direct_rings *rings)
{
	struct tcp_ivpci_sock *ts = tcp_ivpci_get(sk);
	const struct tcp_ivpci_pair *pair;

	memset(&rings->flow, 0, sizeof(rings->flow));
	if (!ts)
		return;
	rings->flow = ts->flow;
	rcu_read_lock();
	pair = rcu_dereference(ts->pair); /* it is there for a grace period after it was taken */
	if (pair)
		rings->size = pair->rings->in_len;
	rcu_read_unlock();
	tcp_ivpci_put(ts);
}

static long tcp_ivpci_rings(unsigned int cmd, struct direct_rings *rings)
{
	struct direct_request *connection = &rings->connection;
	struct sock *sk;
	int rc;

	if (connection->unused)
		return -EINVAL;
	sk = tcp_ivpci_find(connection, false);
	if (!sk)
		return -ENOENT;
	rc = tcp_ivpci_do_rings(sk, cmd, rings);
	connection->reason = max(rc, 0);
	if (rc > 0) {
		tcp_ivpci_count(refused[rc]);
		rc = -EBUSY;
	}
	tcp_ivpci_flow(sk, rings);
	connection->state = tcp_ivpci_state(sk);
	sock_put(sk);
	return rc;
}

static_assert(DIRECT_REASONS <= DIRECT_REASONS_ROOM);

static long tcp_ivpci_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *to = (void __user *)arg;
	struct direct_request request;
	struct direct_rings rings;
	long rc;

	/* who was given the descriptor is not asked what it may */
	if (!capable(CAP_NET_ADMIN))
		return -EPERM;
	switch (cmd) {
	case DIRECT_IDENTIFY:
	case DIRECT_ATTACH:
	case DIRECT_DETACH:
	case DIRECT_LOOK:
		if (copy_from_user(&request, to, sizeof(request)))
			return -EFAULT;
		rc = tcp_ivpci_do(cmd, &request);
		if (copy_to_user(to, &request, sizeof(request)))
			return -EFAULT;
		return rc;
	case DIRECT_MAKE:
	case DIRECT_CONNECT:
	case DIRECT_MOVE:
	case DIRECT_BACK:
	case DIRECT_RETURN:
	case DIRECT_FLOW:
		if (copy_from_user(&rings, to, sizeof(rings)))
			return -EFAULT;
		rc = tcp_ivpci_rings(cmd, &rings);
		if (copy_to_user(to, &rings, sizeof(rings)))
			return -EFAULT;
		return rc;
	case DIRECT_DETACH_ALL:
		tcp_ivpci_detach_all();
		return 0;
	case DIRECT_COUNTERS:
		return copy_to_user(to, &tcp_ivpci_counters, sizeof(tcp_ivpci_counters)) ? -EFAULT
											 : 0;
	}
	return -ENOTTY;
}

static int tcp_ivpci_open(struct inode *inode, struct file *file)
{
	return capable(CAP_NET_ADMIN) ? nonseekable_open(inode, file) : -EPERM;
}

static const struct file_operations tcp_ivpci_file_ops = {
	.owner = THIS_MODULE,
	.open = tcp_ivpci_open,
	.unlocked_ioctl = tcp_ivpci_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice tcp_ivpci_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "tcp_ivpci",
	.mode = 0600,
	.fops = &tcp_ivpci_file_ops,
};

static int __init tcp_ivpci_init(void)
{
	BUILD_BUG_ON(sizeof(struct direct_request) != 64);
	/* it may be of an older package: it stays until the next boot */
	if (tcp_ivpci_contract != TCP_IVPCI_CONTRACT) {
		pr_err("tcp_ivpci: tcp_ivpci_calls is of another version: boot again\n");
		return -EINVAL;
	}
	return misc_register(&tcp_ivpci_misc);
}

/* Nobody has the device open. */
static void __exit tcp_ivpci_exit(void)
{
	misc_deregister(&tcp_ivpci_misc);
	tcp_ivpci_detach_all();
}

module_init(tcp_ivpci_init);
module_exit(tcp_ivpci_exit);

MODULE_DESCRIPTION("TCP connections of programs, attached to by root (smc-steer)");
MODULE_LICENSE("GPL");
MODULE_VERSION(STEER_VERSION);
