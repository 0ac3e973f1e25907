// When the credential program is asked; see the header. Runs in the mirror worker and in backends.
#include "kubernetes/credentials/exec_credentials.hpp"

#include "kubernetes/failure.hpp"

#include <algorithm>
#include <fstream>
#include <new>
#include <sstream>

namespace dbnet::kubernetes {
namespace {

// A program that failed is not run at once again by all who would like to try, nor is one whose new credentials the
// server refuses like the old ones.
constexpr std::chrono::seconds rest{5};
constexpr std::chrono::seconds longest_lead{60}; // before they expire; at most a fifth of their life

std::string read_ca(const Connection &connection) {
    if (!connection.ca_pem.empty() || connection.ca_file.empty())
        return {};
    std::ostringstream text;
    text << std::ifstream(connection.ca_file, std::ios::binary).rdbuf();
    return std::move(text).str();
}

} // namespace

bool ExecCredentials::is_usable(Clock::time_point now) const noexcept {
    return generation_ > 0 && !is_refused_ && now < expires_at_;
}

ExecCredentials::State ExecCredentials::state() {
    const Clock::time_point now = Clock::now();
    if (!process_ && now >= not_before_ && (!is_usable(now) || now >= renew_at_))
        start();
    if (is_usable(now))
        return State::ready;
    return process_ ? State::awaited : State::failed;
}

void ExecCredentials::start() {
    try {
        const std::string ca = connection_.exec->provide_cluster_info ? read_ca(connection_) : std::string();
        process_ = std::make_unique<ExecProcess>(*connection_.exec, exec_info(connection_, ca));
    } catch (const Failure &failure) {
        fail(failure.what() + (failure.hint().empty() ? std::string() : ". " + failure.hint()));
    }
}

bool ExecCredentials::run() {
    if (!process_ || !process_->run())
        return false;
    const std::unique_ptr<ExecProcess> ended = std::move(process_);
    if (ended->problem().empty())
        take(ended->output());
    else
        fail(ended->problem());
    return true;
}

void ExecCredentials::take(std::string_view output) {
    const std::string program = '"' + connection_.exec->command + "\": ";
    try {
        ExecCredential credential = parse_exec_credential(output, connection_.exec->api_version);
        const Clock::time_point now = Clock::now();
        Clock::time_point expires_at = Clock::time_point::max(), renew_at = expires_at;
        if (credential.expires_at) {
            const auto wall = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
            const auto left = std::chrono::microseconds(*credential.expires_at) - wall.time_since_epoch();
            if (left.count() <= 0)
                return fail(program + "it gave credentials that have expired");
            if (left < std::chrono::hours(24 * 365)) { // what lasts longer lasts for ever
                expires_at = now + left;
                renew_at = expires_at - std::min<std::chrono::microseconds>(longest_lead, left / 5);
            }
        }
        current_ = std::move(credential);
        given_at_ = now;
        expires_at_ = expires_at;
        renew_at_ = renew_at;
        generation_++;
        is_refused_ = false;
        problem_.clear();
    } catch (const Failure &failure) {
        fail(program + failure.what() + (failure.hint().empty() ? std::string() : ". " + failure.hint()));
    }
}

void ExecCredentials::fail(const std::string &problem) {
    problem_ = "no credentials: " + problem;
    not_before_ = Clock::now() + rest;
}

bool ExecCredentials::refuse(uint64_t generation) noexcept {
    if (generation != generation_)
        return true;
    if (!process_ && Clock::now() < given_at_ + rest)
        return false;
    is_refused_ = true;
    return true;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
