/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86's memory, as far as it can hurt: each guest's stores wait in a FIFO of their own before
 * others see them (TSO). STORE puts one there, a drain process of each guest moves them on at
 * any time, FENCE waits until all are out.
 */
#define STORE(buffer, variable, value) buffer ! variable, value
#define FENCE(buffer) empty(buffer)
