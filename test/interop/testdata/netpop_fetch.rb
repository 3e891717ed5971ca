# Fetches what is new with Ruby's net/pop.
require "net/pop"
require "openssl"

env = ENV
pop = Net::POP3.new(env["POP_HOST"], env["POP_PORT"].to_i)
pop.open_timeout = pop.read_timeout = 30
if env["POP_TRANSPORT"] == "TLS"
  pop.enable_ssl(OpenSSL::SSL::VERIFY_PEER, env["POP_AUTHORITY"], env["POP_PORT"].to_i)
end
path = File.join(env["POP_STATE"], "ids")
seen = File.exist?(path) ? File.readlines(path, chomp: true) : []
ids = []
pop.start(env["POP_USER"], env["POP_PASS"]) do
  raise "STAT and LIST disagree" unless pop.n_bytes == pop.mails.sum(&:length)
  pop.mails.each do |mail|
    ids << mail.unique_id
    unless seen.include?(mail.unique_id)
      File.open(File.join(env["POP_OUT"], mail.number.to_s), "wb") { |f| mail.pop { |part| f.write(part) } }
    end
    mail.delete unless env["POP_DELETE"].empty?
  end
end
File.write(path, ids.join("\n") + "\n")
