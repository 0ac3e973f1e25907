// Which origins dbnet.gateway_allowed_origins takes, and which requests they let in.
#include "gateway/otlp/allowed_origins.hpp"

#include <gtest/gtest.h>

using namespace dbnet::gateway;

TEST(AllowedOrigins, OfAnEmptyListAreNone) {
    for (const char *list : {"", " ", "\t\n"}) {
        EXPECT_FALSE(bad_origin_in(list)) << list;
        EXPECT_TRUE(AllowedOrigins(list).is_empty());
    }
    EXPECT_TRUE(AllowedOrigins().is_empty());
    for (const char *origin : {"https://shop.example", "null", ""})
        EXPECT_FALSE(AllowedOrigins().allow(origin)) << origin;
}

TEST(AllowedOrigins, AreComparedWhole) {
    const AllowedOrigins origins("https://shop.example, HTTP://LocalHost:3000,http://[::1]:8080 ,app://notes.md");
    for (const char *origin : {"https://shop.example", "HTTPS://Shop.Example", "http://localhost:3000",
                               "http://[::1]:8080", "app://notes.md"})
        EXPECT_TRUE(origins.allow(origin)) << origin;
    for (const char *origin : {"http://shop.example", "https://shop.example:8443", "https://shop.example/",
                               "https://shop.example.evil.example", "https://a.shop.example", "https://shop.exampl",
                               "https://shop.example, http://localhost:3000", "http://localhost",
                               "http://localhost:30000", "http://[::1]", "null", "*", "", " https://shop.example"})
        EXPECT_FALSE(origins.allow(origin)) << origin;
}

TEST(AllowedOrigins, MayHaveAWildcard) {
    const AllowedOrigins origins("https://*.shop.example,http://localhost:*,ftp://*");
    for (const char *origin : {"https://a.shop.example", "https://a.b.shop.example", "http://localhost:1",
                               "http://localhost:65535", "ftp://any.example", "ftp://any.example:2121"})
        EXPECT_TRUE(origins.allow(origin)) << origin;
    for (const char *origin :
         {"https://shop.example", "https://.shop.example", "https://evilshop.example", "http://a.shop.example",
          "https://a.shop.example:8443", "http://localhost", "http://localhost.evil.example", "http://localhost:1x",
          "https://evil.example/.shop.example", "https://evil.example:1.shop.example", "https://*.shop.example",
          "http://localhost:*"})
        EXPECT_FALSE(origins.allow(origin)) << origin;
    EXPECT_FALSE(AllowedOrigins("http://*,https://*").allow("null"));
}

TEST(AllowedOrigins, AStarAloneIsAnyButNothingThatIsNoOrigin) {
    const AllowedOrigins origins("*");
    for (const char *origin : {"https://shop.example", "http://127.0.0.1:3000", "null", "chrome-extension://abcdef"})
        EXPECT_TRUE(origins.allow(origin)) << origin;
    using namespace std::string_view_literals;
    for (const std::string_view origin : {""sv,
                                          "*"sv,
                                          "shop.example"sv,
                                          "https://"sv,
                                          "://shop.example"sv,
                                          "1s://shop.example"sv,
                                          "https://a b"sv,
                                          "https://a\r\nSet-Cookie: x"sv,
                                          "https://a\n"sv,
                                          "https://a\0"sv,
                                          "https://a\tb"sv,
                                          "https://a/b"sv,
                                          "https://a?b"sv,
                                          "https://me@a"sv,
                                          "https://a:"sv,
                                          "https://a:x"sv,
                                          "https://a:1:2"sv,
                                          "https://[::1"sv,
                                          "https://[::1]x"sv,
                                          "https://[a\r\n]"sv,
                                          "https://\xc3\xa4.example"sv,
                                          "https://a,https://b"sv})
        EXPECT_FALSE(origins.allow(origin)) << origin;
}

TEST(AllowedOrigins, AreRefusedWhereTheyCouldNeverBeSentOrAreEverybodys) {
    for (const char *good : {"*", "https://shop.example", "https://shop.example:8443", "http://shop.example:443",
                             "http://[::1]:1", "https://*", "https://*.shop.example", "https://*.shop.example:8443",
                             "http://localhost:*", "http://*:3000", "https://a , https://b", "*,https://a"})
        EXPECT_FALSE(bad_origin_in(good)) << good;
    for (const char *bad : {"shop.example",
                            "https://shop.example/",
                            "https://shop.example:443",
                            "HTTP://shop.example:80",
                            "https://",
                            "https://*shop.example",
                            "https://shop.*",
                            "https://a.*.example",
                            "http://*:*",
                            "*://shop.example",
                            "http://localhost*",
                            "null",
                            "**",
                            "https://a b",
                            "https://a\r\nb",
                            "https://\xc3\xa4.example",
                            "/",
                            "https:",
                            "http://[::1",
                            "http://[*]"})
        EXPECT_EQ(bad_origin_in(bad), std::optional<std::string_view>(bad));
    EXPECT_EQ(bad_origin_in("https://a, b ,https://c"), std::optional<std::string_view>("b"));
    for (const char *list : {",", "https://a,", ",https://a", "https://a,,https://b"})
        EXPECT_EQ(bad_origin_in(list), std::optional<std::string_view>("")) << list;
}
