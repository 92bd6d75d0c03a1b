/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * QEMU's ivshmem client-server protocol, version 0, over a UNIX stream socket.
 * Source: QEMU, docs/specs/ivshmem-spec.rst, "Interrupts".
 *
 * The server sends messages of one little-endian signed 64-bit number each, some with a
 * file descriptor (SCM_RIGHTS); the client never sends. In this order:
 *
 *   version             IVSHMEM_PROTOCOL_VERSION, no descriptor
 *   id                  the client's own, 0..65535, no descriptor
 *   -1                  with the shared memory
 *   id of a peer        with the eventfd of its next vector, once per vector and peer
 *   own id              likewise, for the client's own vectors
 *
 * and later, as peers come and go:
 *
 *   id of a new peer    with the eventfd of its next vector
 *   id of a lost peer   no descriptor
 */
#ifndef IVSHMEM_PROTOCOL_H
#define IVSHMEM_PROTOCOL_H

#define IVSHMEM_PROTOCOL_VERSION 0
#define IVSHMEM_MSG_SHM		 (-1)
#define IVSHMEM_MSG_SIZE	 8
#define IVSHMEM_ID_MAX		 65535

/* BAR 0 of the device. */
#define IVSHMEM_REG_INTR_MASK	0x00
#define IVSHMEM_REG_INTR_STATUS 0x04
#define IVSHMEM_REG_IVPOSITION	0x08
#define IVSHMEM_REG_DOORBELL	0x0c

#define IVSHMEM_PCI_VENDOR 0x1af4
#define IVSHMEM_PCI_DEVICE 0x1110

#endif
