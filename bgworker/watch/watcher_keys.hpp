// The keys that a list has shown: hashes only, of many thousand objects; seeded, so that no two are mistaken twice.
// Used by the watcher in the mirror worker. Pure C++.
#pragma once

#include "mirror/key.hpp"

#include <cstdint>
#include <random>
#include <unordered_set>

namespace dbnet::bgworker {

class KeySet {
public:
    void insert(const mirror::Key &key) { hashes_.insert(hash_of(key)); }
    bool contains(const mirror::Key &key) const { return hashes_.count(hash_of(key)) > 0; }
    size_t size() const noexcept { return hashes_.size(); }
    void clear() { hashes_.clear(); }

private:
    uint64_t hash_of(const mirror::Key &key) const { return mirror::KeyHash()(key) ^ seed_; }

    uint64_t seed_ = std::random_device()();
    std::unordered_set<uint64_t> hashes_;
};

} // namespace dbnet::bgworker
