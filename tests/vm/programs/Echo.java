// SPDX-License-Identifier: Apache-2.0
// java Echo.java serve PORT                  says "listening", and sends back what it gets: channels and a selector
// java Echo.java check ADDRESS PORT ROUNDS   one connection by streams: each answer has to be what was sent; says "right"

import java.io.DataInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.Arrays;
import java.util.Random;

public class Echo {
    private static final int LARGEST = 64 << 10;

    public static void main(String[] words) throws IOException {
        if (words[0].equals("serve")) {
            serve(Integer.parseInt(words[1]));
        } else {
            check(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3]));
        }
    }

    private static void serve(int port) throws IOException {
        Selector selector = Selector.open();
        ServerSocketChannel listener = ServerSocketChannel.open();
        listener.bind(new InetSocketAddress(port));
        listener.configureBlocking(false);
        listener.register(selector, SelectionKey.OP_ACCEPT);
        System.out.println("listening");
        while (true) {
            selector.select();
            for (SelectionKey key : selector.selectedKeys()) {
                if (key.isAcceptable()) {
                    SocketChannel client = listener.accept();
                    client.configureBlocking(false);
                    client.register(selector, SelectionKey.OP_READ, ByteBuffer.allocateDirect(LARGEST));
                } else {
                    answer(key);
                }
            }
            selector.selectedKeys().clear();
        }
    }

    // What could not be sent back waits in the connection's buffer, and reading waits for it.
    private static void answer(SelectionKey key) throws IOException {
        SocketChannel client = (SocketChannel) key.channel();
        ByteBuffer data = (ByteBuffer) key.attachment();
        if (key.isReadable() && client.read(data) < 0) {
            client.close();
            return;
        }
        data.flip();
        client.write(data);
        key.interestOps(data.hasRemaining() ? SelectionKey.OP_WRITE : SelectionKey.OP_READ);
        data.compact();
    }

    private static void check(String address, int port, int rounds) throws IOException {
        Random random = new Random(1);
        try (Socket socket = new Socket(address, port)) {
            DataInputStream in = new DataInputStream(socket.getInputStream());
            for (int round = 0; round < rounds; round++) {
                byte[] sent = new byte[1 + random.nextInt(LARGEST)];
                random.nextBytes(sent);
                socket.getOutputStream().write(sent);
                byte[] got = new byte[sent.length];
                in.readFully(got);
                if (!Arrays.equals(sent, got)) {
                    throw new IOException("round " + round + ": other bytes than were sent");
                }
            }
        }
        System.out.println("right");
    }
}
