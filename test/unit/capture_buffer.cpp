// The list of a transaction's changes: one entry per key, bounded memory, a compare beyond.
#include "capture/buffer.hpp"

#include <gtest/gtest.h>

namespace dbnet::capture {
namespace {

// Counts what is taken and never asks for more than malloc gives.
class Memory : public std::pmr::memory_resource {
public:
    std::size_t in_use = 0, most = 0;
    bool exhausted = false;
    int left = -1; // allocations until there is no memory any more; -1: no limit

private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override {
        if (exhausted || left == 0)
            throw std::bad_alloc();
        left -= left > 0;
        in_use += bytes;
        most = std::max(most, in_use);
        return std::pmr::new_delete_resource()->allocate(bytes, alignment);
    }
    void do_deallocate(void *memory, std::size_t bytes, std::size_t alignment) override {
        in_use -= bytes;
        std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
    }
    bool do_is_equal(const memory_resource &other) const noexcept override { return this == &other; }
};

std::string content(const Buffer &buffer) {
    std::string text;
    buffer.for_each([&](const ChangeView &change, std::uint32_t) {
        text += std::to_string(change.relation) + change.operation + std::string(change.name_space) + '/' +
                std::string(change.name) + ' ';
    });
    return text;
}

std::string causes(const Buffer &buffer) {
    std::string text;
    buffer.for_each([&](const ChangeView &change, std::uint32_t cause) {
        text += std::string(change.name) + change.operation + std::to_string(cause) + ' ';
    });
    return text;
}

std::string events(const Buffer &buffer) {
    std::string text;
    buffer.for_each([&](const ChangeView &change, std::uint32_t) {
        text += std::string(change.name) + change.operation + std::to_string(change.event) + ' ';
    });
    return text;
}

std::string roles(const Buffer &buffer) {
    std::string text;
    buffer.for_each([&](const ChangeView &change, std::uint32_t) {
        text += std::string(change.name) + change.operation + std::to_string(change.role) + ' ';
    });
    return text;
}

class CaptureBuffer : public testing::Test {
protected:
    Memory memory;
};

TEST_F(CaptureBuffer, StartsEmpty) {
    EXPECT_EQ(content(Buffer(&memory, 1000)), "");
}

TEST_F(CaptureBuffer, KeepsTheOrderOfFirstOccurrenceAndTheNewestOperation) {
    Buffer buffer(&memory, 10000);
    buffer.add({1, 'I', "n", "a"});
    buffer.add({1, 'I', "n", "b"});
    buffer.add({1, 'U', "n", "a"});
    buffer.add({1, 'D', "n", "a"});
    EXPECT_EQ(content(buffer), "1Dn/a 1In/b ");
}

TEST_F(CaptureBuffer, AKeyIsWhoChangedItLast) {
    Buffer buffer(&memory, 10000);
    buffer.add({1, 'I', "", "a", 0, 7});
    buffer.add({1, 'I', "", "b", 0, 7});
    buffer.add({1, 'U', "", "a", 0, 8});
    EXPECT_EQ(roles(buffer), "aU8 bI7 ");
    buffer.add({1, 'U', "", "b", 0, 9}, 2);
    EXPECT_EQ(roles(buffer), "aU8 bU9 ");
    buffer.roll_back(2);
    EXPECT_EQ(roles(buffer), "aU8 bI7 ");
    buffer.add({1, 'C', "", "", 0, 8});
    EXPECT_EQ(roles(buffer), "C8 aU8 bI7 ");
}

TEST_F(CaptureBuffer, KeysDifferInRelationNamespaceAndName) {
    Buffer buffer(&memory, 10000);
    buffer.add({1, 'I', "a", "b"});
    buffer.add({2, 'I', "a", "b"});
    buffer.add({1, 'I', "ab", ""});
    buffer.add({1, 'I', "", "ab"});
    buffer.add({1, 'I', "b", "a"});
    EXPECT_EQ(content(buffer), "1Ia/b 2Ia/b 1Iab/ 1I/ab 1Ib/a ");
}

TEST_F(CaptureBuffer, AnotherLookHidesNoChange) {
    Buffer buffer(&memory, 10000);
    buffer.add({1, 'A', "", "a"});
    buffer.add({1, 'D', "", "b"});
    buffer.add({1, 'A', "", "b"});
    EXPECT_EQ(content(buffer), "1A/a 1D/b ");
    buffer.add({1, 'U', "", "a"});
    EXPECT_EQ(content(buffer), "1U/a 1D/b ");
}

TEST_F(CaptureBuffer, CopiesTheText) {
    Buffer buffer(&memory, 10000);
    std::string name = "before";
    buffer.add({1, 'I', {}, name});
    name = "after!";
    EXPECT_EQ(content(buffer), "1I/before ");
}

TEST_F(CaptureBuffer, WholeRelationsAndConfigurationAreToldOnce) {
    Buffer buffer(&memory, 10000);
    buffer.add({1, 'I', "", "a"});
    buffer.add({2, 'S', "", ""});
    buffer.add({2, 'S', "ignored", "ignored"});
    buffer.add({3, 'C', "", ""});
    buffer.add({3, 'U', "", "a"});
    buffer.add({2, 'U', "", "a"});
    EXPECT_EQ(content(buffer), "2S/ 3C/ 1I/a 2U/a ");
}

TEST_F(CaptureBuffer, ShrinksToComparesBeyondTheLimit) {
    Buffer buffer(&memory, 64 * 1024);
    buffer.add({7, 'S', "", ""});
    for (std::uint32_t number = 0; number < 100000; ++number)
        buffer.add({1 + number % 3, 'U', "namespace", "name-" + std::to_string(number)});
    EXPECT_EQ(content(buffer), "7S/ 2C/ 1C/ 3C/ ");
    EXPECT_LT(memory.most, 3 * 64 * 1024u) << "the limit is a rough one, but it is one";
    buffer.add({4, 'I', "", "fits"});
    EXPECT_EQ(content(buffer), "7S/ 2C/ 1C/ 3C/ 4I/fits ");
}

TEST_F(CaptureBuffer, LongNamesCountToo) {
    Buffer buffer(&memory, 64 * 1024);
    buffer.add({1, 'I', "", std::string(70000, 'x')});
    EXPECT_EQ(content(buffer), "1C/ ");
}

TEST_F(CaptureBuffer, ExhaustedMemoryIsBadAlloc) {
    Buffer buffer(&memory, 1000000);
    memory.exhausted = true;
    EXPECT_THROW(
        {
            for (int number = 0; number < 1000; ++number)
                buffer.add({1, 'U', "", "name-" + std::to_string(number)});
        },
        std::bad_alloc);
}

// A savepoint may catch bad_alloc, and the transaction commits: what is kept must tell of every key, however far the
// buffer got with shrinking.
TEST_F(CaptureBuffer, ExhaustedMemoryLosesNoKey) {
    for (int left = 0; left < 8; ++left) {
        Memory scarce;
        Buffer buffer(&scarce, 4096);
        std::string keys;
        for (int number = 0; number < 10; ++number) {
            buffer.add({1, 'U', "", "name-" + std::to_string(number)});
            keys += "1U/name-" + std::to_string(number) + ' ';
        }
        scarce.left = left;
        bool is_kept = true;
        try {
            buffer.add({2, 'U', "", std::string(5000, 'x')});
        } catch (const std::bad_alloc &) {
            is_kept = false;
        }
        scarce.left = -1;
        const std::string all = content(buffer);
        EXPECT_TRUE(all.find("1C/ ") != std::string::npos || all.ends_with(keys)) << left << ": " << all;
        EXPECT_TRUE(!is_kept || all.find("2C/ ") != std::string::npos) << left << ": " << all;
        buffer.add({3, 'I', "", "later"});
        EXPECT_TRUE(content(buffer).ends_with("3I/later ")) << left;
    }
}

TEST_F(CaptureBuffer, KeepsTheCauseOfTheNewestChange) {
    Buffer buffer(&memory, 10000);
    buffer.add({1, 'I', "", "a"}, Buffer::top, 7);
    buffer.add({1, 'I', "", "b"});
    buffer.add({1, 'U', "", "a"}, Buffer::top, 8);
    EXPECT_EQ(causes(buffer), "aU8 bI0 ");
}

TEST_F(CaptureBuffer, WhatIsRolledBackWasNeverThere) {
    Buffer buffer(&memory, 10000);
    buffer.add({1, 'I', "", "a"}, Buffer::top, 1);
    buffer.add({1, 'D', "", "a"}, 2, 2);
    buffer.add({1, 'I', "", "b"}, 2, 3);
    buffer.add({1, 'U', "", "b"}, 2, 4);
    EXPECT_EQ(causes(buffer), "aD2 bU4 ");
    buffer.roll_back(2);
    EXPECT_EQ(causes(buffer), "aI1 ");
    buffer.add({1, 'U', "", "b"}, 3, 5);
    EXPECT_EQ(causes(buffer), "aI1 bU5 ");
    buffer.roll_back(3);
    EXPECT_EQ(causes(buffer), "aI1 ") << "a key is taken back as often as it is touched";
    buffer.roll_back(4);
    EXPECT_EQ(causes(buffer), "aI1 ");
}

TEST_F(CaptureBuffer, KeepsTheNewestVersionThatWasNotRolledBack) {
    Buffer buffer(&memory, 10000);
    buffer.add({1, 'I', "", "a", 1});
    buffer.add({1, 'U', "", "a", 2});
    buffer.add({1, 'C', "", "", 3});
    buffer.add({2, 'I', "", "a", 4});
    EXPECT_EQ(events(buffer), "C0 aU2 aI4 ");
    buffer.add({2, 'U', "", "a", 5}, 2);
    buffer.add({2, 'D', "", "a", 6}, 2);
    buffer.add({2, 'I', "", "b", 7}, 2);
    EXPECT_EQ(events(buffer), "C0 aU2 aD6 bI7 ");
    buffer.roll_back(2);
    EXPECT_EQ(events(buffer), "C0 aU2 aI4 ");
    buffer.add({2, 'U', "", "b"});
    EXPECT_EQ(events(buffer), "C0 aU2 aI4 bU0 ") << "not recorded";
}

TEST_F(CaptureBuffer, WhatAChildCommitsGoesBackWithItsParent) {
    Buffer buffer(&memory, 10000);
    buffer.add({1, 'U', "", "a"}, 2, 1);
    buffer.add({1, 'U', "", "a"}, 3, 2);
    buffer.add({1, 'U', "", "b"}, 3, 3);
    buffer.commit(3, 2);
    EXPECT_EQ(causes(buffer), "aU2 bU3 ");
    buffer.add({1, 'D', "", "b"}, 4, 4);
    buffer.roll_back(4);
    EXPECT_EQ(causes(buffer), "aU2 bU3 ");
    buffer.add({1, 'D', "", "a"}, 2, 5);
    buffer.roll_back(2);
    EXPECT_EQ(causes(buffer), "");
}

TEST_F(CaptureBuffer, WhatTheTransactionHasTakenOverStays) {
    Buffer buffer(&memory, 10000);
    buffer.add({1, 'U', "", "a"}, 2, 1);
    buffer.commit(2, Buffer::top);
    buffer.add({1, 'D', "", "a"}, 3, 2);
    buffer.roll_back(3);
    EXPECT_EQ(causes(buffer), "aU1 ");
}

// A loop with a savepoint in each turn, as PL/pgSQL's EXCEPTION makes them.
TEST_F(CaptureBuffer, ManySavepointsTakeNoMoreMemoryThanTheLimit) {
    Buffer buffer(&memory, 64 * 1024);
    for (std::uint32_t turn = 2; turn < 100000; ++turn) {
        buffer.add({1, 'U', "", "a"}, turn);
        turn % 2 ? buffer.commit(turn, Buffer::top) : buffer.roll_back(turn);
    }
    EXPECT_EQ(content(buffer), "1U/a ");
    EXPECT_LT(memory.most, 8192u);
    for (std::uint32_t turn = 3; turn < 100000; ++turn) {
        buffer.add({1, 'U', "", "a"}, turn);
        buffer.commit(turn, 2);
    }
    EXPECT_EQ(content(buffer), "1C/ ") << "inside one that lasts they add up";
    EXPECT_LT(memory.most, 4 * 64 * 1024u);
    buffer.roll_back(2);
    EXPECT_EQ(content(buffer), "1C/ ") << "what has shrunk to a compare stays one";
}

} // namespace
} // namespace dbnet::capture
