// Bearer tokens (see token.hpp).
#include "gateway/token/token.hpp"

#include "pg/spi.hpp"
#include "provenance/record/sha256.hpp"

namespace dbnet::gateway {
namespace {

constexpr std::string_view prefix = "dbnet_";

// $1 SHA-256 of the token, $2 the scope in which it is shown. Column login: another text when settings of the role have
// changed, which a session takes over when it begins.
const pg::Statement select_token{R"sql(
    SELECT t.id, t.name, t.role::oid, r.rolname, r.rolconnlimit,
           r.rolsuper::text || (SELECT coalesce(string_agg(d.setdatabase || ':' || d.setrole || ':' || d.xmin, ' '), '')
                                FROM pg_db_role_setting AS d
                                WHERE d.setrole IN (0, t.role)
                                AND d.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))),
           t.resource_attributes,
           CASE WHEN p.of_token IS NOT NULL THEN 401 WHEN t.scope <> $2 OR p.of_role IS NOT NULL THEN 403 ELSE 200 END,
           coalesce(p.of_token, CASE WHEN t.scope <> $2 THEN format('the token is for scope %s alone', t.scope) END, p.of_role)
    FROM dbnet.token_secret AS s JOIN dbnet.token AS t ON t.id = s.token LEFT JOIN pg_roles AS r ON r.oid = t.role,
         LATERAL (SELECT dbnet.token_problem(t) AS of_token, dbnet.role_problem(t) AS of_role OFFSET 0) AS p
    WHERE s.hash = $1
)sql"};
// $1 dbnet.token.id, $2 address of the client; once a minute at most.
const pg::Statement note_token_use{R"sql(
    UPDATE dbnet.token_secret AS s SET last_used_at = now(), last_client = $2
    WHERE s.token = (SELECT u.token FROM dbnet.token_secret AS u
                     WHERE u.token = $1 AND (u.last_used_at IS NULL OR u.last_used_at < now() - interval '1 minute')
                     FOR UPDATE SKIP LOCKED) -- somebody notes it now, or is about to revoke it: no request waits for that
)sql"};

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
