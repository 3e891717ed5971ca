# Fetches what is new with Perl's Net::POP3.
use strict;
use warnings;
use Net::POP3;

my %e      = %ENV;
my %verify = (
    SSL_ca_file         => $e{POP_AUTHORITY},
    SSL_verify_mode     => 1,
    SSL_verifycn_scheme => 'pop3',
    SSL_verifycn_name   => $e{POP_HOST},
);
my @tls = $e{POP_TRANSPORT} eq 'TLS' ? ( SSL => 1, %verify ) : ();
my $pop = Net::POP3->new( $e{POP_HOST}, Port => $e{POP_PORT}, Timeout => 30, @tls )
  or die "connect: $@";
if ( $e{POP_TRANSPORT} eq 'STLS' ) {
    $pop->starttls(%verify) or die 'STLS: ', $pop->message, $IO::Socket::SSL::SSL_ERROR // '';
}
defined $pop->login( $e{POP_USER}, $e{POP_PASS} ) or die 'login: ', $pop->message;

my $path = "$e{POP_STATE}/ids";
my %seen;
if ( open my $f, '<', $path ) { chomp( my @ids = <$f> ); @seen{@ids} = () }

my $ids = $pop->uidl or die 'UIDL: ', $pop->message;
for my $number ( sort { $a <=> $b } keys %$ids ) {
    if ( !exists $seen{ $ids->{$number} } ) {
        my $lines = $pop->get($number) or die "RETR $number: ", $pop->message;
        open my $out, '>:raw', "$e{POP_OUT}/$number" or die $!;
        print {$out} @$lines;
        close $out or die $!;
    }
    if ( $e{POP_DELETE} ) { $pop->delete($number) or die "DELE $number: ", $pop->message }
}
$pop->quit or die 'QUIT: ', $pop->message;
open my $f, '>', $path or die $!;
print {$f} "$_\n" for values %$ids;
close $f or die $!;
