// The payload of WAL messages: round trip, splitting, and that nothing damaged or foreign is taken for ours.
#include "capture/message.hpp"

#include <gtest/gtest.h>

namespace dbnet::capture {
namespace {

const Cookie cookie = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

const std::vector<Change> changes = {
    {16384, 'I', "shop", "web"},
    {16384, 'U', "", "node-1"},
    {4294967295u, 'D', std::string(key_part_size, 'n'), std::string("a\0b\xff", 4)},
    {16385, 'C', "", ""},
    {16386, 'S', "", ""},
};

TEST(CaptureMessage, ComesBackAsItWas) {
    constexpr std::uint64_t transaction = 0x0123456789abcdef;
    const std::vector<Change> recorded = {
        {16384, 'I', "shop", "web", transaction + 3},
        {16384, 'D', "shop", "old", transaction + UINT32_MAX},
        {16385, 'C', "", "", transaction},
    };
    const auto message = decode(encode({cookie, 10, transaction}, recorded), cookie);
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(message->role, 10u);
    EXPECT_EQ(message->provenance, transaction);
    EXPECT_EQ(message->changes, recorded);
    EXPECT_EQ(decode(encode({cookie, 10, 0}, changes), cookie)->changes, changes);
}

TEST(CaptureMessage, NumberOfTheVersionBecomesItsEventId) {
    Encoder encoder({cookie, 10, 5 << 10});
    encoder.add({1, 'U', "", "a", 7});
    encoder.add({1, 'U', "", "b", 0});
    encoder.add({1, 'D', "", std::string(key_part_size + 1, 'x'), 9});
    const auto message = decode(encoder.take(), cookie);
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(
        message->changes,
        (std::vector<Change>{{1, 'U', "", "a", (5 << 10) + 7}, {1, 'U', "", "b", 5 << 10}, {1, 'C', "", "", 5 << 10}}));
}

TEST(CaptureMessage, MayBeEmpty) {
    const auto message = decode(encode({cookie, 10, 0}, {}), cookie);
    ASSERT_TRUE(message.has_value());
    EXPECT_TRUE(message->changes.empty());
}

TEST(CaptureMessage, EveryBitOfTheCookieCounts) {
    const std::string bytes = encode({cookie, 10, 0}, changes);
    for (std::size_t bit = 0; bit < cookie.size() * 8; ++bit) {
        Cookie guessed = cookie;
        guessed[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
        EXPECT_FALSE(decode(bytes, guessed).has_value()) << "bit " << bit;
    }
}

TEST(CaptureMessage, NoPieceIsTakenForTheWhole) {
    const std::string bytes = encode({cookie, 10, 0}, changes);
    std::size_t accepted = 0;
    for (std::size_t size = 0; size < bytes.size(); ++size)
        accepted += decode(std::string_view(bytes).substr(0, size), cookie).has_value();
    // A payload has no count: a piece that ends between two changes reads as a shorter payload. The WAL record around
    // it has a length and a checksum.
    EXPECT_EQ(accepted, changes.size());
    EXPECT_FALSE(decode(bytes + '\0', cookie).has_value());
}

TEST(CaptureMessage, OtherVersionIsRefused) {
    std::string bytes = encode({cookie, 10, 0}, changes);
    bytes[0] = 1;
    EXPECT_FALSE(decode(bytes, cookie).has_value());
}

TEST(CaptureMessage, UnknownOperationIsRefused) {
    EXPECT_FALSE(decode(encode({cookie, 10, 0}, std::vector<Change>{{1, 'X', "", ""}}), cookie).has_value());
}

TEST(CaptureMessage, LengthBeyondTheLimitIsRefused) {
    std::string bytes = encode({cookie, 10, 0}, std::vector<Change>{{1, 'I', "", ""}});
    bytes.resize(bytes.size() - 2);
    const std::uint16_t size = key_part_size + 1;
    bytes.append(reinterpret_cast<const char *>(&size), sizeof size).append(size, 'x');
    EXPECT_FALSE(decode(bytes, cookie).has_value());
}

TEST(CaptureMessage, KeyBeyondTheLimitBecomesACompare) {
    const std::string longest(key_part_size, 'x'), longer(key_part_size + 1, 'x');
    const auto message =
        decode(encode({cookie, 10, 0},
                      std::vector<Change>{{1, 'D', "", longest}, {2, 'U', "a", longer}, {3, 'I', longer, "a"}}),
               cookie);
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(message->changes, (std::vector<Change>{{1, 'D', "", longest}, {2, 'C', "", ""}, {3, 'C', "", ""}}));
}

TEST(CaptureMessage, ManyChangesMakeSeveralPayloads) {
    Encoder encoder({cookie, 10, 7});
    EXPECT_TRUE(encoder.empty());
    std::vector<Change> wanted, found;
    std::vector<std::string> payloads;
    for (std::uint32_t number = 0; number < 10000; ++number) {
        wanted.push_back({number, 'U', "namespace", "name-" + std::to_string(number), 7 + number});
        encoder.add({number, 'U', wanted.back().name_space, wanted.back().name, number});
        EXPECT_FALSE(encoder.empty());
        if (encoder.full()) {
            payloads.push_back(encoder.take());
            EXPECT_TRUE(encoder.empty());
        }
    }
    payloads.push_back(encoder.take());
    EXPECT_EQ(payloads.size(), 5u);
    for (const std::string &payload : payloads) {
        EXPECT_LT(payload.size(), message_size + 2 * key_part_size + 16);
        const auto message = decode(payload, cookie);
        ASSERT_TRUE(message.has_value());
        EXPECT_EQ(message->provenance, 7u);
        found.insert(found.end(), message->changes.begin(), message->changes.end());
    }
    EXPECT_EQ(found, wanted);
}

TEST(CaptureMessage, ShrinksToOneComparePerRelation) {
    EXPECT_EQ(shrunk(std::vector<Change>{{2, 'I', "a", "b"},
                                         {1, 'S', "", ""},
                                         {2, 'D', "a", "c"},
                                         {3, 'C', "", ""},
                                         {1, 'S', "", ""},
                                         {1, 'U', "", "d"},
                                         {2, 'U', "a", "b"}}),
              (std::vector<Change>{{2, 'C', "", ""}, {1, 'S', "", ""}, {3, 'C', "", ""}, {1, 'C', "", ""}}));
    EXPECT_TRUE(shrunk({}).empty());
}

} // namespace
} // namespace dbnet::capture
