// Bearer tokens (see token.hpp).
#include "gateway/token/token.hpp"

#include "pg/spi.hpp"
#include "provenance/record/sha256.hpp"

namespace dbnet::gateway {
namespace {

constexpr std::string_view prefix = "dbnet_";

const pg::Statement select_token{
    "SELECT token, name, role, role_name, connection_limit, login, resource_attributes, status,"
    " message FROM dbnet.check_token($1, $2)"};
const pg::Statement note_token_use{"SELECT dbnet.note_token_use($1, $2)"};

std::string base64url(const unsigned char *bytes, size_t size) {
    static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::string text;
    for (size_t bit = 0; bit < size * 8; bit += 6) {
        const size_t index = bit / 8;
        const unsigned pair = bytes[index] << 8 | (index + 1 < size ? bytes[index + 1] : 0);
        text += digits[pair >> (10 - bit % 8) & 63];
    }
    return text;
}

} // namespace

std::string make_token() {
    unsigned char random[32];
    if (!pg_strong_random(random, sizeof random))
        throw pg::error(ERRCODE_INTERNAL_ERROR, "could not generate a random token");
    return std::string(prefix) + base64url(random, sizeof random);
}

TokenHash hash_of_token(std::string_view token) noexcept {
    provenance::Sha256 hash;
    hash.add(token);
    return hash.digest();
}

Token check_token(std::string_view token, const char *scope) {
    const TokenHash hash = hash_of_token(token);
    const pg::Bytes key{{reinterpret_cast<const char *>(hash.data()), hash.size()}};
    const pg::Result found = pg::execute(select_token, key, scope);
    Token checked;
    if (found.rows() == 0) {
        checked.message = unknown_token;
        return checked;
    }
    checked.status = static_cast<int>(found.integer(0, 7));
    checked.message = found.text(0, 8);
    checked.id = found.integer(0, 0);
    checked.name = found.text(0, 1);
    checked.role = found.oid(0, 2);
    checked.role_name = found.text(0, 3);
    checked.connection_limit = static_cast<int>(found.integer(0, 4));
    checked.login = found.text(0, 5);
    checked.resource_attributes = found.text(0, 6);
    return checked;
}

void note_use(const Token &token, std::string_view client) {
    pg::execute(note_token_use, token.id, client);
}

} // namespace dbnet::gateway
