// Addresses of listeners: what is one, what is not, and which are of this machine alone.
#include "gateway/http/listen_address.hpp"

#include <gtest/gtest.h>

namespace dbnet::gateway {
namespace {

TEST(ListenAddress, Parses) {
    EXPECT_EQ(parse_listen_address("127.0.0.1:4318"), (ListenAddress{"127.0.0.1", 4318}));
    EXPECT_EQ(parse_listen_address("localhost:1"), (ListenAddress{"127.0.0.1", 1}));
    EXPECT_EQ(parse_listen_address("[::1]:65535"), (ListenAddress{"::1", 65535}));
    EXPECT_EQ(parse_listen_address("0.0.0.0:80"), (ListenAddress{"0.0.0.0", 80}));
}

TEST(ListenAddress, RefusesOthers) {
    for (const char *text : {"", ":", "4318", ":4318", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
                             "127.0.0.1:80x", "127.0.0.1:-1", "127.0.0.1: 80", "example.org:80", "::1:80", "[::1]",
                             "[127.0.0.1]:80", "[]:80", "256.0.0.1:80"})
        EXPECT_FALSE(parse_listen_address(text)) << text;
}

TEST(ListenAddress, KnowsLoopback) {
    for (const char *text : {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"})
        EXPECT_TRUE(parse_listen_address(text)->is_loopback()) << text;
    for (const char *text : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[fe80::1]:1"})
        EXPECT_FALSE(parse_listen_address(text)->is_loopback()) << text;
}

} // namespace
} // namespace dbnet::gateway
