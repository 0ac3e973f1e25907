// Known tokens (see known_tokens.hpp).
#include "gateway/token/known_tokens.hpp"

#include "pg/spi.hpp"

namespace dbnet::gateway {
namespace {

constexpr size_t most_tokens = 10'000;
constexpr auto longest_use = std::chrono::seconds(1);

const pg::Statement select_hashes{"SELECT encode(hash, 'hex') FROM dbnet.token_secret LIMIT 10001"};

std::string hexadecimal(const TokenHash &hash) {
    std::string text;
    for (const unsigned char byte : hash)
        for (const int digit : {byte >> 4, byte & 15})
            text += "0123456789abcdef"[digit];
    return text;
}

} // namespace

bool KnownTokens::may_know(std::string_view token) {
    if (pg_atomic_read_u64(&slot_.configuration) != configuration_ || Clock::now() >= read_again_)
        read();
    return !is_complete_ || hashes_.contains(hexadecimal(hash_of_token(token)));
}

void KnownTokens::read() {
    const Clock::time_point now = Clock::now();
    const uint64 configuration = pg_atomic_read_u64(&slot_.configuration); // before the snapshot is taken
    std::set<std::string, std::less<>> hashes;
    pg::in_transaction([&] {
        const pg::Result found = pg::execute(select_hashes);
        for (size_t row = 0; row < found.rows(); ++row)
            hashes.emplace(found.text(row, 0));
    });
    is_complete_ = hashes.size() <= most_tokens;
    hashes_ = std::move(hashes);
    configuration_ = configuration;
    read_again_ = now + longest_use;
}

} // namespace dbnet::gateway
