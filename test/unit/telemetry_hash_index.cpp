// The index by content hash: what was removed is gone, and nothing else is.
#include "telemetry/hash_index.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace dbnet::telemetry {
namespace {

TEST(TelemetryHashIndex, IsAsAMap) {
    std::mt19937 random(1);
    HashIndex index;
    std::map<Hash, uint32_t> map;
    for (uint32_t step = 0; step < 10000; ++step) {
        Hash hash{};
        hash[0] = static_cast<uint8_t>(random()); // few homes, so that many share one
        hash[15] = static_cast<uint8_t>(random() % 4);
        const auto known = map.find(hash);
        ASSERT_EQ(index.find(hash), known == map.end() ? HashIndex::absent : known->second);
        if (random() % 2 == 0) {
            index.remove(hash);
            map.erase(hash);
        } else if (known == map.end()) {
            index.insert(hash, step);
            map[hash] = step;
        }
    }
    for (const auto &[hash, at] : map)
        ASSERT_EQ(index.find(hash), at);
    index.clear();
    for (const auto &[hash, at] : map)
        ASSERT_EQ(index.find(hash), HashIndex::absent);
}

} // namespace
} // namespace dbnet::telemetry
