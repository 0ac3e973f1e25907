// The list of a transaction's changes (see buffer.hpp). Pure C++; runs in backends.
#include "capture/buffer.hpp"

#include <algorithm>
#include <cstring>

namespace dbnet::capture {
namespace {

// Of one key beside its text: its place in the list, its node and bucket in the index.
constexpr std::size_t bytes_per_key = sizeof(ChangeView) + 5 * sizeof(void *);

} // namespace

std::size_t Buffer::Hash::operator()(const ChangeView *change) const {
    const std::hash<std::string_view> hash;
    return (hash(change->name) * 31 + hash(change->name_space)) * 31 + change->relation;
}

bool Buffer::SameKey::operator()(const ChangeView *left, const ChangeView *right) const {
    return left->relation == right->relation && left->name == right->name && left->name_space == right->name_space;
}

Buffer::Buffer(std::pmr::memory_resource *memory, std::size_t limit) : limit_(limit), arena_(memory), whole_(memory) {}

void Buffer::add(const ChangeView &change) {
    if (change.operation == 'C' || change.operation == 'S') {
        if (!is_whole(change.relation, change.operation))
            whole_.push_back({change.relation, change.operation, {}, {}});
        return;
    }
    if (!whole_.empty() && is_whole(change.relation, 'C'))
        return;
    if (!keys_)
        keys_.emplace(&arena_);
    ChangeView wanted = change;
    if (const auto found = keys_->index.find(&wanted); found != keys_->index.end()) {
        (*found)->operation = change.operation;
        return;
    }
    const std::size_t bytes = bytes_per_key + change.name_space.size() + change.name.size();
    if (bytes_ + bytes > limit_) {
        shrink(change.relation);
        return;
    }
    wanted.name_space = copied(change.name_space);
    wanted.name = copied(change.name);
    keys_->index.insert(&keys_->list.emplace_back(wanted));
    bytes_ += bytes;
}

bool Buffer::is_whole(std::uint32_t relation, char operation) const {
    return std::ranges::any_of(
        whole_, [&](const ChangeView &one) { return one.relation == relation && one.operation == operation; });
}

// Nothing is let go before all of `whole_` is there: when memory runs out on the way, which a savepoint may catch, the
// commit still tells of every key, of some twice.
void Buffer::shrink(std::uint32_t newest) {
    whole_.push_back({newest, 'C', {}, {}});
    for (const ChangeView &change : keys_->list)
        if (!is_whole(change.relation, 'C'))
            whole_.push_back({change.relation, 'C', {}, {}});
    keys_.reset();
    arena_.release();
    bytes_ = 0;
}

std::string_view Buffer::copied(std::string_view text) {
    if (text.empty())
        return {};
    auto *copy = static_cast<char *>(arena_.allocate(text.size(), 1));
    std::memcpy(copy, text.data(), text.size());
    return {copy, text.size()};
}

} // namespace dbnet::capture

#include "pg/no_postgres.hpp"
